import os
from pathlib import Path

from scitq.fetch.nameless import place


def test_a_file_appears_whole_with_its_time_and_nothing_beside_it(tmp_path: Path) -> None:
    assert place(b"content", str(tmp_path / "x"), 1e9)
    assert (tmp_path / "x").read_bytes() == b"content"
    assert (tmp_path / "x").stat().st_mtime == 1e9
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o666 & ~mask
    assert os.listdir(tmp_path) == ["x"]


def test_what_has_the_name_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    assert not place(b"new", str(tmp_path / "x"), None)
    assert (tmp_path / "x").read_bytes() == b"old"


def test_missing_folders_are_made(tmp_path: Path) -> None:
    assert place(b"new", str(tmp_path / "missing/deep/x"), None)
    assert (tmp_path / "missing/deep/x").read_bytes() == b"new"
    assert os.listdir(tmp_path / "missing/deep") == ["x"]
