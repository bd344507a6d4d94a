"""A crash tears the last frame at most: it is cut, that is said, and its bytes are kept."""

import shutil
from pathlib import Path

import pytest

from scitq.broker.frames import FRAME_BYTES, HEADER_BYTES
from scitq.broker.journal import Journal
from tests.journal.kit import SMALL, contents, last_segment, start, write

BODIES = [b"first", b"second" * 3, b"", b"\0" * 40, b"last"]


def ends(bodies: list[bytes]) -> list[int]:
    """Where each frame ends in a segment that holds them all."""
    found, end = [], HEADER_BYTES
    for body in bodies:
        end += FRAME_BYTES + len(body)
        found.append(end)
    return found


@pytest.mark.parametrize("rest", ["missing", "zeros", "garbage"])
def test_cut_at_every_byte(tmp_path: Path, rest: str) -> None:
    write(tmp_path / "whole", BODIES)
    name = last_segment(tmp_path / "whole").name
    data = (tmp_path / "whole" / name).read_bytes()
    for cut in range(HEADER_BYTES, ends(BODIES)[-1] + 1):
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        filling = {"missing": b"", "zeros": bytes(SMALL), "garbage": b"\xf5Sq?" * 30}[rest]
        (folder / name).write_bytes(data[:cut] + filling)

        journal, bodies = start(folder)

        whole = sum(end <= cut for end in ends(BODIES))
        sound_end = ([HEADER_BYTES, *ends(BODIES)])[whole]
        # A body that ends in zeros may be complete before its last byte was written.
        torn = (data[:cut] + filling)[sound_end:].rstrip(b"\0")
        assert bodies[:whole] == BODIES[:whole]
        assert len(bodies) in {whole, whole + (rest == "zeros")}
        if len(bodies) == whole:
            assert bool(journal.notes) == bool(torn)
            kept = {path.name: path.read_bytes() for path in folder.glob("torn-*")}
            assert kept == ({f"torn-00000001-{whole + 1}": torn} if torn else {})
        journal.append(b"next")
        assert start(folder)[1] == [*bodies, b"next"]
        shutil.rmtree(folder)


def test_what_was_cut_is_said_in_one_line_and_only_once(tmp_path: Path) -> None:
    write(tmp_path, [b"one", b"two"])
    path = last_segment(tmp_path)
    with path.open("r+b") as file:
        file.truncate(HEADER_BYTES + FRAME_BYTES + 3 + FRAME_BYTES + 1)
    journal, _ = start(tmp_path)
    (note,) = journal.notes
    assert "\n" not in note
    assert "frame 2 of" in note
    assert f"offset {HEADER_BYTES + FRAME_BYTES + 3}" in note
    assert "torn-00000001-2" in note
    again, bodies = start(tmp_path)
    assert (again.notes, bodies) == ([], [b"one"])


def test_the_bytes_of_a_frame_inside_a_torn_body_are_no_later_frame(tmp_path: Path) -> None:
    """A user may submit bytes of another journal, or of this one before its seed was drawn."""
    write(tmp_path / "other", [b"x"] * 5)
    inside = last_segment(tmp_path / "other").read_bytes()[HEADER_BYTES : HEADER_BYTES + 5 * (FRAME_BYTES + 1)]
    write(tmp_path / "own", [b"one", inside + b"the end"])
    path = last_segment(tmp_path / "own")
    with path.open("r+b") as file:
        file.truncate(HEADER_BYTES + FRAME_BYTES + 3 + FRAME_BYTES + len(inside))
    assert start(tmp_path / "own")[1] == [b"one"]


def test_the_last_frame_is_written_again_by_whoever_starts(tmp_path: Path) -> None:
    """Its sync may have failed: what is read back may live only in the kernel's memory."""
    write(tmp_path, [b"one", b"two"])
    first = last_segment(tmp_path)
    start(tmp_path)
    with first.open("r+b") as file:
        file.truncate(HEADER_BYTES + FRAME_BYTES + 3)  # the power failed: only what was synced is there
    assert start(tmp_path)[1] == [b"one", b"two"]


def test_a_start_that_dies_before_its_segment_is_named_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, [b"one", b"two"])
    (tmp_path / "00000002.journal.tmp").write_bytes(b"half a header")
    assert start(tmp_path)[1] == [b"one", b"two"]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_stop_gives_the_room_kept_back(tmp_path: Path) -> None:
    journal = write(tmp_path, [b"one"])
    assert last_segment(tmp_path).stat().st_size == SMALL
    journal.close()
    assert last_segment(tmp_path).stat().st_size == HEADER_BYTES + FRAME_BYTES + 3
    assert start(tmp_path)[1] == [b"one"]


def test_nothing_is_touched_until_replay_is_read_to_its_end(tmp_path: Path) -> None:
    write(tmp_path, [b"one", b"two"])
    before = contents(tmp_path)
    replay = Journal.open(tmp_path).replay()
    assert [next(replay), next(replay)] == [b"one", b"two"]
    assert contents(tmp_path) == before
