"""What the next agent knows of a container."""

from pathlib import Path

from scitq.node.containers.record import Record, Records


def test_a_record_comes_back_and_what_was_never_whole_goes(tmp_path: Path) -> None:
    records = Records(f"{tmp_path}/containers")
    record = Record("1.1", b"spec", 5.0, None, 0, "boot", phase="started", wall=1.5, cause="timeout", suspended=2.0)
    records.save(Record("1.1", b"spec", 5.0, None, 0, "boot"))
    records.save(record)
    records.save(Record("2.1", b"", None, 1, 2, "boot"))
    (tmp_path / "containers/3.1").write_bytes(b"\x9fcut")
    (tmp_path / "containers/4.1.new").write_bytes(b"cut")

    assert [one.name for one in records.load()] == ["1.1", "2.1"]
    assert next(records.load()) == record
    records.forget("1.1")
    records.forget("1.1")
    assert sorted(path.name for path in (tmp_path / "containers").iterdir()) == ["2.1"]
