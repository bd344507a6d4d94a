import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.broker.log_records import (
    RECORD_BYTES,
    Stream,
    data_is_whole,
    decode_record,
    encode_record,
    files_of,
    make_pointer,
    place_of,
)

STREAM = Stream(123456789012, 3, 1)


def test_a_record_reads_back() -> None:
    data = encode_record(STREAM, 1 << 40, b"text", 77)
    record = decode_record(data)
    assert record is not None
    assert (record.stream, record.offset, record.end, record.previous) == (STREAM, 1 << 40, (1 << 40) + 4, 77)
    assert data_is_whole(record, data[RECORD_BYTES:])
    assert not data_is_whole(record, b"tex?")


@pytest.mark.parametrize("at", range(RECORD_BYTES))
def test_a_changed_or_cut_head_is_none(at: int) -> None:
    data = encode_record(STREAM, 5, b"text", 77)
    assert decode_record(data[:at]) is None
    assert decode_record(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]) is None


@given(st.integers(1, (1 << 23) - 1), st.integers(0, (1 << 32) - 1))
def test_a_pointer_holds_its_place_in_a_signed_number(file: int, position: int) -> None:
    pointer = make_pointer(file, position, 0)
    assert 0 < pointer < 1 << 63
    assert place_of(pointer) == (file, position)
    assert files_of(pointer) == range(file, file + 1)


@given(st.lists(st.integers(0, 90), min_size=1, max_size=8))
def test_a_pointer_tells_every_file_that_its_stream_reaches_over(steps: list[int]) -> None:
    file, pointer, first = 1, 0, 0
    for step in steps:
        file += step
        first = first or file
        pointer = make_pointer(file, 0, pointer)
    told = files_of(pointer)
    assert told.stop == file + 1
    assert told.start == (first if file - first < 255 else 1)
