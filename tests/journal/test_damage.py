"""Bytes that changed on disk are found, and the place is named; what no crash can explain stops the start."""

import re
import shutil
import struct
import zlib
from pathlib import Path

import pytest

from scitq.broker import segments
from scitq.broker.frames import FRAME_BYTES, HEADER_BYTES
from scitq.broker.journal import Journal
from scitq.broker.segments import JournalDamaged, JournalNewer, read_chain
from tests.journal.kit import contents, flip, last_segment, start, write

BODIES = [b"body %d" % number for number in range(8)]


def three_segments(folder: Path) -> Path:
    """Eight frames in three segments: three starts, the last without a frame of its own yet."""
    write(folder, BODIES[:3])
    write(folder, BODIES[3:6])
    write(folder, BODIES[6:])
    return folder


def damage_of(folder: Path) -> JournalDamaged | None:
    """What stops a start, None when it replays to the end; the journal does not become live."""
    try:
        for _ in read_chain(folder).frames():
            pass
    except JournalDamaged as damage:
        with pytest.raises(JournalDamaged, match=re.escape(str(damage))):
            start(folder)
        return damage
    return None


def used(path: Path) -> int:
    return len(path.read_bytes().rstrip(b"\0"))


def test_one_changed_byte_anywhere_is_cut_and_said_or_stops_at_the_place(tmp_path: Path) -> None:
    whole = three_segments(tmp_path / "whole")
    stopped = cut = 0
    for name in sorted(path.name for path in whole.glob("*.journal")):
        for offset in range(used(whole / name) + 20):
            if offset >= (whole / name).stat().st_size:
                continue
            folder = tmp_path / "changed"
            shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("reserve.*"))
            flip(folder / name, offset)
            before = contents(folder)
            if damage := damage_of(folder):
                stopped += 1
                assert damage.path.name == name
                assert damage.offset <= offset < damage.offset + HEADER_BYTES + FRAME_BYTES + 6
                assert contents(folder) == before
            else:
                cut += 1
                journal, bodies = start(folder)
                assert BODIES[: len(bodies)] == bodies
                assert len(bodies) >= len(BODIES) - 1
                if len(bodies) < len(BODIES) or name == "00000003.journal":
                    assert journal.notes
            shutil.rmtree(folder)
    assert stopped
    assert cut


def test_damage_before_a_whole_frame_names_file_offset_frame_and_the_way_out(tmp_path: Path) -> None:
    write(tmp_path, BODIES)
    path = last_segment(tmp_path)
    offset = HEADER_BYTES + 2 * (FRAME_BYTES + 6)
    flip(path, offset + FRAME_BYTES)
    with pytest.raises(JournalDamaged) as caught:
        start(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(path), f"offset {offset}", "frame 3", "scitq broker check", "scitq broker repair"):
        assert part in message


def test_a_frame_of_zeros_before_a_whole_one_is_damage(tmp_path: Path) -> None:
    write(tmp_path, BODIES)
    with last_segment(tmp_path).open("r+b") as file:
        file.seek(HEADER_BYTES + FRAME_BYTES + 6)
        file.write(bytes(FRAME_BYTES + 6))
    with pytest.raises(JournalDamaged, match="frame 2"):
        start(tmp_path)


def test_a_later_frame_is_found_far_behind_the_damage(tmp_path: Path) -> None:
    journal, _ = start(tmp_path, segment_bytes=16 << 20)
    for body in (b"one", bytes(9 << 20), b"three"):
        journal.append(body)
    flip(last_segment(tmp_path), HEADER_BYTES + 1 + FRAME_BYTES)
    with pytest.raises(JournalDamaged, match="frame 1"):
        start(tmp_path)


@pytest.mark.parametrize("piece", range(FRAME_BYTES, 2 * FRAME_BYTES + 10))
def test_a_later_frame_is_found_wherever_the_pieces_read_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    write(tmp_path, BODIES[:2])
    flip(last_segment(tmp_path), HEADER_BYTES + FRAME_BYTES)
    monkeypatch.setattr(segments, "_SURVEY", piece)
    with pytest.raises(JournalDamaged, match="frame 1"):
        start(tmp_path)


@pytest.mark.parametrize("size", [0, 1, HEADER_BYTES - 1])
def test_a_header_cut_short_is_damage_for_a_segment_is_named_when_whole(tmp_path: Path, size: int) -> None:
    write(tmp_path, BODIES)
    path = last_segment(tmp_path)
    with path.open("r+b") as file:
        file.truncate(size)
    with pytest.raises(JournalDamaged, match="header"):
        start(tmp_path)


def test_a_header_of_zeros_is_damage(tmp_path: Path) -> None:
    write(tmp_path, BODIES)
    path = last_segment(tmp_path)
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(JournalDamaged, match="header"):
        start(tmp_path)


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    three_segments(tmp_path)
    (tmp_path / "00000002.journal").unlink()
    with pytest.raises(JournalDamaged, match=r"00000002\.journal .* missing"):
        start(tmp_path)


def test_a_segment_of_another_journal_does_not_follow(tmp_path: Path) -> None:
    three_segments(tmp_path / "own")
    write(tmp_path / "other", [b"x"] * 2)
    write(tmp_path / "other", [b"x"] * 2)
    shutil.copy(tmp_path / "other" / "00000002.journal", tmp_path / "own" / "00000002.journal")
    with pytest.raises(JournalDamaged):
        start(tmp_path / "own")


@pytest.mark.parametrize("name", ["00000001.journal", "00000003.journal"])
def test_a_newer_format_is_refused_before_anything_is_touched(tmp_path: Path, name: str) -> None:
    three_segments(tmp_path)
    (tmp_path / "left.tmp").write_bytes(b"x")
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 8, 7)
    struct.pack_into("<I", data, HEADER_BYTES - 4, zlib.crc32(data[: HEADER_BYTES - 4]))
    path.write_bytes(data)
    before = contents(tmp_path)
    with pytest.raises(JournalNewer, match="format 7"):
        Journal.open(tmp_path)
    assert contents(tmp_path) == before


def test_a_newer_header_may_be_longer(tmp_path: Path) -> None:
    write(tmp_path, BODIES)
    path = last_segment(tmp_path)
    data = path.read_bytes()
    longer = data[:8] + struct.pack("<II", 2, 100) + data[16:44] + bytes(52)
    path.write_bytes(longer + struct.pack("<I", zlib.crc32(longer)) + data[HEADER_BYTES:])
    with pytest.raises(JournalNewer):
        Journal.open(tmp_path)
