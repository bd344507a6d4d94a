"""Sealed segments become a snapshot; whatever step dies, a start finds all bodies, once."""

import multiprocessing
import os
import signal
import struct
import zlib
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from scitq.broker.compaction import fold
from scitq.broker.frames import FRAME_BYTES, HEADER_BYTES
from scitq.broker.journal import Journal
from scitq.broker.segments import JournalDamaged, JournalNewer
from tests.journal.kit import contents, flip, start, write

BODIES = [b"%04d" % number * 50 for number in range(60)]


def same(bodies: Iterator[bytes]) -> Iterator[bytes]:
    yield from bodies


def halves(bodies: Iterator[bytes]) -> Iterator[bytes]:
    """A dump that folds: the first half of the facts is forgotten."""
    found = list(bodies)
    yield from found[len(found) // 2 :]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("reserve."))


def test_nothing_is_sealed_before_a_segment_is_full(tmp_path: Path) -> None:
    journal = write(tmp_path, [b"one"])
    assert journal.sealed() == (0, 0, 0, 0)
    assert not journal.adopt_snapshot()


def test_a_fold_is_adopted_while_the_journal_goes_on(tmp_path: Path) -> None:
    journal = write(tmp_path, BODIES)
    upto, size, files, base = journal.sealed()
    assert files == upto == 3
    assert base == 0
    assert 0 < size < 4 * 4096
    fold(tmp_path, upto, same)
    journal.append(b"meanwhile")
    assert journal.adopt_snapshot()
    assert names(tmp_path) == ["00000003.snapshot", "00000004.journal"]
    assert journal.sealed() == (0, 0, 0, (tmp_path / "00000003.snapshot").stat().st_size)
    journal.append(b"after")
    assert start(tmp_path)[1] == [*BODIES, b"meanwhile", b"after"]


def test_folds_follow_on_one_another(tmp_path: Path) -> None:
    journal = write(tmp_path, BODIES)
    fold(tmp_path, journal.sealed().upto, halves)
    journal.adopt_snapshot()
    for body in BODIES:
        journal.append(body)
    fold(tmp_path, journal.sealed().upto, same)
    journal.adopt_snapshot()
    assert len(names(tmp_path)) == 2
    _, bodies = start(tmp_path)
    assert bodies[-60:] == BODIES
    assert 60 < len(bodies) < 120
    assert start(tmp_path)[1] == bodies


def test_a_fold_of_what_is_folded_does_nothing_and_the_present_segment_is_refused(tmp_path: Path) -> None:
    journal = write(tmp_path, BODIES)
    fold(tmp_path, 3, same)
    journal.adopt_snapshot()
    before = contents(tmp_path)
    fold(tmp_path, 3, same)
    assert contents(tmp_path) == before
    with pytest.raises(ValueError, match="not sealed"):
        fold(tmp_path, 4, same)


def test_an_empty_dump_is_a_snapshot(tmp_path: Path) -> None:
    journal = write(tmp_path, BODIES)
    fold(tmp_path, journal.sealed().upto, lambda bodies: iter(()))
    journal.adopt_snapshot()
    _, bodies = start(tmp_path)
    assert bodies == BODIES[-len(bodies) :]
    assert 0 < len(bodies) < 20


def test_a_dump_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def fails(bodies: Iterator[bytes]) -> Iterator[bytes]:
        yield next(bodies)
        raise RuntimeError("no")

    write(tmp_path, BODIES)
    with pytest.raises(RuntimeError):
        fold(tmp_path, 3, fails)
    assert not [name for name in names(tmp_path) if "snapshot" in name]


# Each step of a fold, by the system call before which the child is killed, and which call of that name it is.
STEPS = [("pwrite", 0), ("pwrite", 1), ("pwrite", 5), ("ftruncate", 0), ("fsync", 0), ("rename", 1), ("fsync", 1)]


def _fold_and_stop(folder: Path, call: str, count: int, there: Event) -> None:
    real: Callable[..., object] = getattr(os, call)
    calls = 0

    def stopping(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls > count:
            there.set()
            signal.pause()
        return real(*args)

    setattr(os, call, stopping)
    fold(folder, 3, same)


@pytest.mark.parametrize(("call", "count"), STEPS)
def test_a_child_killed_at_any_step_loses_nothing(tmp_path: Path, call: str, count: int) -> None:
    journal = write(tmp_path, BODIES)
    fork = multiprocessing.get_context("fork")
    there = fork.Event()
    child = fork.Process(target=_fold_and_stop, args=(tmp_path, call, count, there))
    child.start()
    assert there.wait(30)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join(30)
    # The broker goes on, and later folds again.
    named = (tmp_path / "00000003.snapshot").exists()
    assert named == (STEPS.index((call, count)) == len(STEPS) - 1)
    assert journal.adopt_snapshot() == named
    journal.append(b"after")
    fold(tmp_path, 3, same)
    journal.adopt_snapshot()
    assert names(tmp_path) == ["00000003.snapshot", "00000004.journal"]
    assert start(tmp_path)[1] == [*BODIES, b"after"]


@pytest.mark.parametrize(("call", "count"), STEPS)
def test_a_broker_that_dies_with_its_child_starts_on_what_is_there(tmp_path: Path, call: str, count: int) -> None:
    write(tmp_path, BODIES)
    fork = multiprocessing.get_context("fork")
    there = fork.Event()
    child = fork.Process(target=_fold_and_stop, args=(tmp_path, call, count, there))
    child.start()
    assert there.wait(30)
    child.kill()
    child.join(30)
    _, bodies = start(tmp_path)
    assert bodies == BODIES
    assert not list(tmp_path.glob("*.tmp"))
    assert start(tmp_path)[1] == BODIES


def test_an_orphan_of_a_dead_broker_cannot_name_its_file(tmp_path: Path) -> None:
    write(tmp_path, BODIES)

    def restarted(bodies: Iterator[bytes]) -> Iterator[bytes]:
        yield from bodies
        start(tmp_path)  # another broker starts while this fold is at work

    with pytest.raises(FileNotFoundError):
        fold(tmp_path, 3, restarted)
    assert start(tmp_path)[1] == BODIES


@pytest.mark.parametrize("removed", [[], [1], [1, 2], [3], [1, 2, 3]])
def test_a_removal_that_died_halfway_is_ended_by_the_next_start(tmp_path: Path, removed: list[int]) -> None:
    write(tmp_path, BODIES)
    fold(tmp_path, 3, same)
    for number in removed:
        (tmp_path / f"{number:08d}.journal").unlink()
    assert start(tmp_path)[1] == BODIES
    assert names(tmp_path) == ["00000003.snapshot", "00000004.journal", "00000005.journal"]


def test_a_snapshot_that_is_not_whole_is_never_believed(tmp_path: Path) -> None:
    journal = write(tmp_path, BODIES[:40])
    upto = journal.sealed().upto
    fold(tmp_path, upto, lambda bodies: iter([b"a", b"bb", b"ccc"]))
    journal.adopt_snapshot()
    path = tmp_path / f"{upto:08d}.snapshot"
    whole = path.read_bytes()
    assert len(whole) == HEADER_BYTES + 4 * FRAME_BYTES + 6
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(JournalDamaged) as caught:
            start(tmp_path)
        assert caught.value.path == path
    for offset in range(len(whole)):
        path.write_bytes(whole)
        flip(path, offset)
        with pytest.raises(JournalDamaged) as caught:
            start(tmp_path)
        assert caught.value.path.name in {path.name, f"{upto + 1:08d}.journal"}
    path.write_bytes(whole)
    assert start(tmp_path)[1][:3] == [b"a", b"bb", b"ccc"]


def test_a_snapshot_of_another_journal_is_not_believed(tmp_path: Path) -> None:
    for name, bodies in (("own", BODIES), ("other", [b"longer" * 100, *BODIES])):
        journal = write(tmp_path / name, bodies)
        fold(tmp_path / name, 3, same)
        journal.adopt_snapshot()
    other = (tmp_path / "other" / "00000003.snapshot").read_bytes()
    (tmp_path / "own" / "00000003.snapshot").write_bytes(other)
    with pytest.raises(JournalDamaged, match="does not follow"):
        Journal.open(tmp_path / "own")


def test_a_newer_segment_is_refused_even_where_a_snapshot_stands_for_it(tmp_path: Path) -> None:
    write(tmp_path, BODIES)
    fold(tmp_path, 3, same)
    path = tmp_path / "00000002.journal"
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 8, 2)
    struct.pack_into("<I", data, HEADER_BYTES - 4, zlib.crc32(data[: HEADER_BYTES - 4]))
    path.write_bytes(data)
    with pytest.raises(JournalNewer):
        Journal.open(tmp_path)


def test_trouble_while_a_snapshot_is_taken_up_is_said_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = write(tmp_path, BODIES)
    fold(tmp_path, 3, same)

    def fails(path: Path) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fails)
        journal.adopt_snapshot()
    assert "Read-only file system" in journal.notes[-1]
    journal.append(b"after")
    assert start(tmp_path)[1] == [*BODIES, b"after"]


def test_a_newer_snapshot_is_refused(tmp_path: Path) -> None:
    journal = write(tmp_path, BODIES)
    fold(tmp_path, 3, same)
    path = tmp_path / "00000003.snapshot"
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 8, 2)
    struct.pack_into("<I", data, HEADER_BYTES - 4, zlib.crc32(data[: HEADER_BYTES - 4]))
    path.write_bytes(data)
    journal.close()
    with pytest.raises(JournalNewer):
        Journal.open(tmp_path)
