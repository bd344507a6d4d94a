import struct
import zlib

import pytest

from scitq.broker import frames
from scitq.broker.frames import FRAME_BYTES, HEADER_BYTES, Header, Kind, Mark

HEADER = Header(Kind.SEGMENT, 7, 0xC0FFEE, Mark(6, 41, 999))


def test_a_header_reads_back() -> None:
    data = frames.encode_header(HEADER)
    assert len(data) == HEADER_BYTES
    assert frames.decode_header(data + b"what follows", Kind.SEGMENT) == HEADER
    assert HEADER.first == 42
    assert HEADER._replace(kind=Kind.SNAPSHOT).first == 1


@pytest.mark.parametrize("cut", range(HEADER_BYTES))
def test_a_header_is_whole_or_unreadable(cut: int) -> None:
    data = bytearray(frames.encode_header(HEADER))
    for broken in (bytes(data[:cut]), bytes(data[:cut]) + bytes([data[cut] ^ 1]) + bytes(data[cut + 1 :])):
        with pytest.raises(frames.UnreadableHeaderError):
            frames.decode_header(broken, Kind.SEGMENT)


def test_a_segment_is_no_snapshot() -> None:
    with pytest.raises(frames.UnreadableHeaderError):
        frames.decode_header(frames.encode_header(HEADER), Kind.SNAPSHOT)


def test_a_sound_header_of_a_later_version_says_which() -> None:
    data = frames.encode_header(HEADER)[:8] + struct.pack("<II", 3, 24) + b"later"[:4]
    with pytest.raises(frames.NewerFormatError) as caught:
        frames.decode_header(data + struct.pack("<I", zlib.crc32(data)), Kind.SEGMENT)
    assert caught.value.args == (3,)


def test_a_frame_is_found_by_its_header_and_proven_by_its_body() -> None:
    data = frames.encode_frame(HEADER, 42, b"body")
    head = frames.decode_frame_head(data, HEADER)
    assert head is not None
    assert (head.closing, head.number, head.length) == (False, 42, 4)
    assert frames.body_is_whole(head, b"body")
    assert not frames.body_is_whole(head, b"bodz")
    assert not frames.body_is_whole(head, b"bod")


@pytest.mark.parametrize("other", [HEADER._replace(segment=8), HEADER._replace(seed=1)])
def test_a_frame_belongs_to_one_file(other: Header) -> None:
    assert frames.decode_frame_head(frames.encode_frame(other, 42, b"body"), HEADER) is None


def test_the_closing_frame_has_no_body() -> None:
    data = frames.encode_closing(HEADER, 9)
    assert len(data) == FRAME_BYTES
    head = frames.decode_frame_head(data, HEADER)
    assert head is not None
    assert (head.closing, head.number, head.length) == (True, 9, 0)


def test_the_next_frame_behind_damage_is_found_by_number() -> None:
    data = b"\xf5SqF" * 3 + frames.encode_frame(HEADER, 42, b"x") + b"??" + frames.encode_frame(HEADER, 43, b"y")
    assert frames.find_frame_after(data, HEADER, 41) == 12
    assert frames.find_frame_after(data, HEADER, 42) == 12 + FRAME_BYTES + 1 + 2
    assert frames.find_frame_after(data, HEADER, 43) is None
    assert frames.find_frame_after(data[:-1], HEADER, 42) is not None
    assert frames.find_frame_after(data[:60], HEADER, 42) is None
