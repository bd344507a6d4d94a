from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.node.records import RecordFile, encode, scan

RECORDS = [["begin", "1.1", b"mesh/1.1", 7], ["start", "1.1", 4711], ["end", "1.1", 0, None, b"\x00\xff" * 40]]


def test_what_is_encoded_is_scanned() -> None:
    data = b"".join(map(encode, RECORDS))
    assert scan(data) == (RECORDS, len(data))


@pytest.mark.parametrize("cut", range(len(encode(RECORDS[2]))))
def test_a_torn_last_record_is_no_record(cut: int) -> None:
    whole = encode(RECORDS[0]) + encode(RECORDS[1])
    assert scan(whole + encode(RECORDS[2])[:cut]) == (RECORDS[:2], len(whole))


@given(st.integers(0, len(encode(RECORDS[2])) - 1), st.integers(1, 255))
def test_a_changed_byte_is_seen(at: int, change: int) -> None:
    record = bytearray(encode(RECORDS[2]))
    record[at] ^= change
    assert scan(bytes(record)) == ([], 0)


@given(st.binary(max_size=200))
def test_garbage_is_never_an_error(data: bytes) -> None:
    records, size = scan(data)
    assert size <= len(data)
    assert size == sum(len(encode(record)) for record in records) or records


def test_a_file_holds_what_was_appended_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "0.records"
    file = RecordFile(str(path))
    file.append(*RECORDS[:2])
    file.append(RECORDS[2])
    assert scan(path.read_bytes())[0] == RECORDS
    file.keep(RECORDS[2:])
    file.append(RECORDS[0])
    assert scan(path.read_bytes())[0] == [RECORDS[2], RECORDS[0]]
    assert file.size == path.stat().st_size
    file.keep([])
    assert path.stat().st_size == file.size == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["0.records"]


def test_a_record_that_does_not_fit_leaves_no_trace(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "0.records"
    file = RecordFile(str(path))
    file.append(RECORDS[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.size + 5, hard))
    try:
        with pytest.raises(OSError, match=r"No space|too large"):
            file.append(RECORDS[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.append(RECORDS[2])
    assert scan(path.read_bytes())[0] == [RECORDS[0], RECORDS[2]]
