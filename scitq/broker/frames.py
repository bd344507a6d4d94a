"""The bytes of the journal: headers of files, frames, checksums. Pure: nothing here opens a file.

Numbers are little-endian and unsigned. A file begins with 48 bytes:

    magic 8 | version 4 | length of this header 4 | segment 4 | seed 4
    | believed: segment 4, frame number 8, end offset 8 | crc32 of all before 4

and every later version keeps the first three fields and the checksum in its last four bytes, so that any
version tells "newer" from "damaged". A frame is 28 bytes and a body:

    magic 4 | segment 4 | number 8 | body length 4 | crc32 of the body 4
    | crc32 of all before, begun with the seed 4

Frames are numbered from 1 through the whole journal, never restarting at a segment. The seed is random, one
per file: no bytes that a user can put into a body pass for a frame of the file that holds them.
"""

import struct
import zlib
from enum import Enum
from typing import NamedTuple

VERSION = 1

_HEADER = struct.Struct("<8sIIIIIQQ")
_ENVELOPE = struct.Struct("<8sII")
_CRC = struct.Struct("<I")
_FRAME = struct.Struct("<4sIQII")

HEADER_BYTES = _HEADER.size + _CRC.size
FRAME_BYTES = _FRAME.size + _CRC.size

FRAME_MAGIC = b"\xf5SqF"
_CLOSING_MAGIC = b"\xf5SqZ"


class Kind(Enum):
    """What a file of the journal is, by the magic it begins with."""

    SEGMENT = b"\xf5scitqJ\n"
    SNAPSHOT = b"\xf5scitqS\n"


class Mark(NamedTuple):
    """A place up to which frames are believed: segment, last frame's number, offset just past it."""

    segment: int
    number: int
    end: int


# What the first segment of a journal names: no segment before, no frame before.
BEGINNING = Mark(0, 0, 0)


class Header(NamedTuple):
    """The header of a segment or of a snapshot.

    `believed` is the last believed frame before a segment, or the last frame folded into a snapshot;
    `segment` is the number in the file's name, for a snapshot the last segment that it covers.
    """

    kind: Kind
    segment: int
    seed: int
    believed: Mark

    @property
    def first(self) -> int:
        """The number of the first frame: a segment goes on counting, a snapshot counts its own from 1."""
        return self.believed.number + 1 if self.kind is Kind.SEGMENT else 1


class FrameHead(NamedTuple):
    """The fixed header of a frame, its checksum proven; a closing frame ends a snapshot, without a body."""

    closing: bool
    number: int
    length: int
    body_crc: int


class UnreadableHeaderError(Exception):
    """The bytes are no header of the journal."""


class NewerFormatError(Exception):
    """The header is sound and of a later format version, given as the only argument."""


def encode_header(header: Header) -> bytes:
    """The 48 bytes a file begins with."""
    data = _HEADER.pack(header.kind.value, VERSION, HEADER_BYTES, header.segment, header.seed, *header.believed)
    return data + _CRC.pack(zlib.crc32(data))


def decode_header(data: bytes, kind: Kind) -> Header:
    """The header at the start of `data`, which holds at least the first 4 KiB of the file or all of it.

    Raises UnreadableHeaderError, or NewerFormatError for a sound header of a later version.
    """
    if len(data) < _ENVELOPE.size:
        raise UnreadableHeaderError
    magic, version, length = _ENVELOPE.unpack_from(data)
    if magic != kind.value or not _ENVELOPE.size + _CRC.size <= length <= len(data):
        raise UnreadableHeaderError
    if _CRC.unpack_from(data, length - _CRC.size)[0] != zlib.crc32(data[: length - _CRC.size]):
        raise UnreadableHeaderError
    if version > VERSION:
        raise NewerFormatError(version)
    if version != VERSION or length != HEADER_BYTES:
        raise UnreadableHeaderError
    _, _, _, segment, seed, *believed = _HEADER.unpack_from(data)
    return Header(kind, segment, seed, Mark(*believed))


def encode_frame(header: Header, number: int, body: bytes) -> bytes:
    """The frame of `body` in the file that `header` begins."""
    return _head(FRAME_MAGIC, header, number, body) + body


def encode_closing(header: Header, number: int) -> bytes:
    """The frame that ends a snapshot: without it a snapshot is not believed."""
    return _head(_CLOSING_MAGIC, header, number, b"")


def _head(magic: bytes, header: Header, number: int, body: bytes) -> bytes:
    data = _FRAME.pack(magic, header.segment, number, len(body), zlib.crc32(body))
    return data + _CRC.pack(zlib.crc32(data, header.seed))


def decode_frame_head(data: bytes, header: Header) -> FrameHead | None:
    """The frame header that `data` begins with, None when it is not one of this file."""
    if len(data) < FRAME_BYTES:
        return None
    magic, segment, number, length, body_crc = _FRAME.unpack_from(data)
    if magic not in {FRAME_MAGIC, _CLOSING_MAGIC} or segment != header.segment:
        return None
    if _CRC.unpack_from(data, _FRAME.size)[0] != zlib.crc32(data[: _FRAME.size], header.seed):
        return None
    return FrameHead(magic == _CLOSING_MAGIC, number, length, body_crc)


def body_is_whole(head: FrameHead, body: bytes) -> bool:
    """Whether `body` is all of what the frame's header promised."""
    return len(body) == head.length and zlib.crc32(body) == head.body_crc


def find_frame_after(data: bytes, header: Header, number: int) -> int | None:
    """The first offset in `data` of a frame header numbered above `number`, None when there is none."""
    offset = data.find(FRAME_MAGIC)
    while offset >= 0:
        head = decode_frame_head(data[offset : offset + FRAME_BYTES], header)
        if head is not None and head.number > number:
            return offset
        offset = data.find(FRAME_MAGIC, offset + 1)
    return None
