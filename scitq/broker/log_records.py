"""The bytes of stored output: records, and the pointers that chain those of one stream. Pure: no file is
opened here.

A record is 45 bytes and its data, little-endian:

    magic 4 | crc32 of what follows, data excepted 4 | crc32 of the data 4
    | task 8 | attempt 4 | stream 1 | offset in the stream 8 | length 4 | previous 8

`previous` is the pointer of the record before it in the same stream, 0 for the first. A pointer is a number
below 2**63, never 0: file 23 bits, span 8, position in the file 32. The span says over how many files the
chain reaches back (255: all before), so that a pointer alone tells which files its stream needs.
"""

import struct
import zlib
from typing import NamedTuple

_MAGIC = b"\xf5SqO"
_FIELDS = struct.Struct("<IQIBQIQ")
_START = struct.Struct("<4sI")
RECORD_BYTES = _START.size + _FIELDS.size

POSITION_LIMIT = 1 << 32
_ENDLESS_SPAN = 255


class Stream(NamedTuple):
    """One output of one attempt: 0 is stdout, 1 is stderr."""

    task: int
    attempt: int
    stream: int


class Record(NamedTuple):
    """The head of a stored record; `end` is the offset in the stream just past its data."""

    stream: Stream
    offset: int
    length: int
    previous: int
    data_crc: int

    @property
    def end(self) -> int:
        """The offset in the stream just past this record's data."""
        return self.offset + self.length


def encode_record(stream: Stream, offset: int, data: bytes, previous: int) -> bytes:
    """The record of `data`, which begins at byte `offset` of its stream."""
    fields = _FIELDS.pack(zlib.crc32(data), *stream, offset, len(data), previous)
    return _START.pack(_MAGIC, zlib.crc32(fields)) + fields + data


def decode_record(data: bytes) -> Record | None:
    """The head that `data` begins with, None when it is not whole."""
    if len(data) < RECORD_BYTES:
        return None
    magic, crc = _START.unpack_from(data)
    if magic != _MAGIC or crc != zlib.crc32(data[_START.size : RECORD_BYTES]):
        return None
    data_crc, task, attempt, stream, offset, length, previous = _FIELDS.unpack_from(data, _START.size)
    return Record(Stream(task, attempt, stream), offset, length, previous, data_crc)


def data_is_whole(record: Record, data: bytes) -> bool:
    """Whether `data` is all that the record's head promised."""
    return len(data) == record.length and zlib.crc32(data) == record.data_crc


def make_pointer(file: int, position: int, previous: int) -> int:
    """The pointer of a record at `position` of `file`, whose stream had `previous` (0: none) before."""
    first = files_of(previous).start if previous else file
    return file << 40 | min(file - first, _ENDLESS_SPAN) << 32 | position


def place_of(pointer: int) -> tuple[int, int]:
    """The file and the position in it."""
    return pointer >> 40, pointer & (POSITION_LIMIT - 1)


def files_of(pointer: int) -> range:
    """The files that the stream ending at `pointer` may have records in."""
    file, span = pointer >> 40, pointer >> 32 & 255
    return range(1 if span == _ENDLESS_SPAN else file - span, file + 1)
