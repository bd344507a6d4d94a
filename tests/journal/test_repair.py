"""`check` says what is wrong and where; `repair` ends the journal there and keeps every byte aside."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scitq.broker.compaction import fold
from scitq.broker.frames import FRAME_BYTES, HEADER_BYTES
from scitq.broker.repair import check, repair
from scitq.broker.segments import JournalDamaged, read_chain
from scitq.errors import ScitqError
from tests.journal.kit import contents, flip, last_segment, start, write

BODIES = [b"body %d" % number for number in range(9)]
FRAME = FRAME_BYTES + 6


def three_segments(folder: Path) -> None:
    for first in (0, 3, 6):
        write(folder, BODIES[first : first + 3])


def with_snapshot(folder: Path) -> None:
    """A snapshot of five frames and a segment that follows on it."""
    write(folder, BODIES[:3])
    journal = write(folder, BODIES[3:])
    fold(folder, 1, lambda bodies: iter([b"a", b"b", b"c", b"d", b"e"]))
    journal.adopt_snapshot()


def test_a_sound_journal_has_no_findings_and_needs_no_repair(tmp_path: Path) -> None:
    three_segments(tmp_path)
    before = contents(tmp_path)
    assert check(tmp_path) == []
    assert repair(tmp_path) == []
    assert contents(tmp_path) == before


def test_a_torn_end_is_found_and_is_no_damage(tmp_path: Path) -> None:
    write(tmp_path, BODIES)
    path = last_segment(tmp_path)
    flip(path, HEADER_BYTES + 8 * FRAME + 3)
    (finding,) = check(tmp_path)
    assert finding.torn
    assert (finding.path, finding.offset) == (path, HEADER_BYTES + 8 * FRAME)
    assert repair(tmp_path) == []


def test_every_damaged_file_is_found(tmp_path: Path) -> None:
    three_segments(tmp_path)
    flip(tmp_path / "00000001.journal", HEADER_BYTES + 3)
    flip(tmp_path / "00000003.journal", HEADER_BYTES + FRAME + 3)
    first, second = check(tmp_path)
    assert (first.path.name, first.offset, first.torn) == ("00000001.journal", HEADER_BYTES, False)
    assert (second.path.name, second.offset) == ("00000003.journal", HEADER_BYTES + FRAME)


def flipped(name: str, offset: int) -> Callable[[Path], None]:
    return lambda folder: flip(folder / name, offset)


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("harm", "left"),
    [
        # The second segment holds the third frame again, by the law of the start.
        (flipped("00000001.journal", HEADER_BYTES), 0),
        (flipped("00000001.journal", HEADER_BYTES + FRAME), 1),
        (flipped("00000002.journal", HEADER_BYTES + FRAME + 30), 3),
        (flipped("00000003.journal", HEADER_BYTES + FRAME), 6),
        (flipped("00000002.journal", 20), 3),
        (flipped("00000003.journal", 0), 6),
        (removed("00000002.journal"), 3),
    ],
)
def test_repair_keeps_what_comes_before_the_damage(tmp_path: Path, harm: Callable[[Path], None], left: int) -> None:
    three_segments(tmp_path)
    harm(tmp_path)
    harmed = contents(tmp_path)
    with pytest.raises(JournalDamaged):
        start(tmp_path)
    (finding, *_) = check(tmp_path)
    lines = repair(tmp_path)
    assert lines
    assert any(finding.path.name in line or "no longer part" in line for line in lines)
    assert check(tmp_path) == []
    now = contents(tmp_path)
    for name, data in harmed.items():
        assert data in {now.get(name), now.get(f"aside-1/{name}")}
    journal, bodies = start(tmp_path)
    assert bodies == BODIES[:left]
    journal.append(b"after")
    assert start(tmp_path)[1] == [*BODIES[:left], b"after"]


def test_what_was_set_aside_outlives_compaction(tmp_path: Path) -> None:
    three_segments(tmp_path)
    flip(tmp_path / "00000002.journal", HEADER_BYTES + FRAME)
    harmed = (tmp_path / "00000002.journal").read_bytes()
    repair(tmp_path)
    journal, bodies = start(tmp_path)
    fold(tmp_path, journal.sealed().upto, lambda found: found)
    journal.adopt_snapshot()
    assert start(tmp_path)[1] == bodies
    assert (tmp_path / "aside-1" / "00000002.journal").read_bytes() == harmed


def test_a_damaged_snapshot_ends_the_journal_there(tmp_path: Path) -> None:
    with_snapshot(tmp_path)
    flip(tmp_path / "00000001.snapshot", HEADER_BYTES + 2 * (FRAME_BYTES + 1) + 5)
    harmed = contents(tmp_path)
    repair(tmp_path)
    now = contents(tmp_path)
    for name, data in harmed.items():
        assert name.startswith("reserve.") or now[f"aside-1/{name}"] == data
    assert start(tmp_path)[1] == [b"a", b"b"]
    assert start(tmp_path)[1] == [b"a", b"b"]


def test_a_second_repair_keeps_its_own_bytes(tmp_path: Path) -> None:
    three_segments(tmp_path)
    flip(tmp_path / "00000003.journal", HEADER_BYTES + FRAME)
    repair(tmp_path)
    flip(tmp_path / "00000002.journal", HEADER_BYTES + FRAME)
    repair(tmp_path)
    assert start(tmp_path)[1] == BODIES[:3]
    assert {"aside-1", "aside-2"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("name", ["00000001.journal", "00000001.snapshot"])
def test_nothing_is_changed_where_nothing_can_be_believed(tmp_path: Path, name: str) -> None:
    if name.endswith("snapshot"):
        with_snapshot(tmp_path)
    else:
        write(tmp_path, BODIES)
    flip(tmp_path / name, 20)
    before = contents(tmp_path)
    with pytest.raises(ScitqError, match="restore a backup"):
        repair(tmp_path)
    assert contents(tmp_path) == before


def test_frames_lie_where_they_are_said_to(tmp_path: Path) -> None:
    with_snapshot(tmp_path)
    found = list(read_chain(tmp_path).frames())
    assert [frame.body for frame in found] == [b"a", b"b", b"c", b"d", b"e", *BODIES[2:]]
    for frame in found:
        data = (tmp_path / frame.segment).read_bytes()
        assert data[frame.offset + FRAME_BYTES :].startswith(frame.body)
    assert [frame.number for frame in found] == [1, 2, 3, 4, 5, *range(3, 10)]
