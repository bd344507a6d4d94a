"""After a failed write or sync the file is left: a new segment takes over, and nothing synced is lost."""

import multiprocessing
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from scitq.broker import reserve
from scitq.broker.compaction import fold
from scitq.broker.journal import Journal, JournalFailed
from tests.journal.kit import Killed, last_segment, start, write

MIB = 1 << 20


class Disk:
    """Has the next calls of a system call fail, as a disk would, and remembers what was synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing: set[str] = set()
        self.synced: list[str] = []
        for name in ("pwrite", "fsync", "fdatasync", "rename", "posix_fallocate"):
            monkeypatch.setattr(os, name, self.wrapped(name, getattr(os, name)))

    def wrapped(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            if name in {"fsync", "fdatasync"}:
                self.synced.append(os.readlink(f"/proc/self/fd/{args[0]}"))
            if name in self.failing:
                raise OSError(5, "Input/output error")
            return real(*args)

        return call


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_a_failure_is_raised_and_that_file_is_never_synced_again(tmp_path: Path, disk: Disk, call: str) -> None:
    journal = write(tmp_path, [b"one"])
    failed = last_segment(tmp_path)
    disk.failing = {call}
    with pytest.raises(JournalFailed, match="Input/output error"):
        journal.append(b"two")
    disk.failing = set()
    disk.synced = []
    with pytest.raises(JournalFailed, match="recovery"):
        journal.append(b"three")
    journal.recover([b"two", b"three"])
    journal.append(b"four")
    journal.close()
    assert str(failed) not in disk.synced
    assert start(tmp_path)[1] == [b"one", b"two", b"three", b"four"]


def test_a_segment_is_on_disk_before_it_is_named_and_its_name_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = write(tmp_path, [b"one"])
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(fd: int) -> None:
        steps.append("sync " + Path(os.readlink(f"/proc/self/fd/{fd}")).name)
        real_fsync(fd)

    def rename(source: Path, target: Path) -> None:
        steps.append("name " + target.name)
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    journal.recover([b"two"])
    assert steps == ["sync 00000002.journal.tmp", "name 00000002.journal", f"sync {tmp_path.name}"]


def test_what_a_failed_sync_left_in_the_file_is_neither_damage_nor_replayed(tmp_path: Path, disk: Disk) -> None:
    journal = write(tmp_path, [b"one"])
    disk.failing = {"fdatasync"}
    with pytest.raises(JournalFailed):
        journal.append(b"written, never synced")
    disk.failing = set()
    journal.recover([b"another"])
    opened, bodies = start(tmp_path)
    assert bodies == [b"one", b"another"]
    assert opened.notes == []


@pytest.mark.parametrize("call", ["pwrite", "fsync", "rename"])
def test_recovery_may_fail_and_is_tried_again(tmp_path: Path, disk: Disk, call: str) -> None:
    journal = write(tmp_path, [b"one"])
    disk.failing = {"fdatasync"}
    with pytest.raises(JournalFailed):
        journal.append(b"two")
    disk.failing = {call}
    for _ in range(3):
        with pytest.raises(JournalFailed):
            journal.recover([b"two"])
    disk.failing = set()
    journal.recover([b"two"])
    assert start(tmp_path)[1] == [b"one", b"two"]
    assert len(list(tmp_path.glob("0*"))) == 3


def test_a_segment_whose_naming_was_not_synced_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be there after a power loss although the broker went on without it."""
    journal = write(tmp_path, [b"one"])
    monkeypatch.setattr(os, "unlink", lambda _: None)
    real = os.fsync

    def fsync(fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}") == str(tmp_path):
            raise OSError(5, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(JournalFailed):
        journal.recover([b"two"])
    monkeypatch.undo()
    assert (tmp_path / "00000002.journal").exists()
    journal.recover([b"two", b"three"])
    assert start(tmp_path)[1] == [b"one", b"two", b"three"]


def test_a_roll_over_that_fails_loses_nothing(tmp_path: Path, disk: Disk) -> None:
    journal = write(tmp_path, [b"x" * 3000])
    disk.failing = {"rename"}
    with pytest.raises(JournalFailed):
        journal.append(b"y" * 3000)
    disk.failing = set()
    journal.recover([b"y" * 3000])
    assert start(tmp_path)[1] == [b"x" * 3000, b"y" * 3000]


def test_a_start_on_a_disk_that_refuses_is_one_clear_line(tmp_path: Path, disk: Disk) -> None:
    write(tmp_path, [b"one"])
    disk.failing = {"pwrite"}
    with pytest.raises(JournalFailed, match=str(tmp_path)):
        start(tmp_path)
    disk.failing = set()
    assert start(tmp_path)[1] == [b"one"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real filesystem of 8 MiB."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mounted)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a small filesystem: {done.stderr.strip()}")
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def tight(journal: Journal) -> bool:
    return journal.tight


def fill(disk: Path) -> Path:
    """Take all that is left of a disk, as any other program may."""
    path = disk / "others"
    with path.open("ab", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return path


def test_on_a_full_disk_ends_and_compaction_fit_into_the_room_kept(small_disk: Path) -> None:
    folder = small_disk / "journal"
    journal, _ = start(folder, segment_bytes=MIB, reserve_bytes=MIB // 2)
    bodies = [bytes([number]) * 1000 for number in range(200)]
    for body in bodies:
        journal.append(body)
    assert not tight(journal)
    fill(small_disk)
    # More than what the present segment holds: the reserve takes over.
    while not tight(journal):
        bodies.append(b"end" * 300)
        journal.append(bodies[-1])
    assert journal.sealed().upto == 1
    # It, too, is filled with ends, until the room for a compaction is all there is.
    while journal.room > 2000:
        bodies.append(b"end" * 300)
        journal.append(bodies[-1])
    fill(small_disk)
    fold(folder, 1, lambda replayed: (body for body in replayed if body[:3] != b"end"))
    assert journal.adopt_snapshot()
    assert not tight(journal)
    journal.append(b"after")
    kept = [body for body in bodies if body[:3] != b"end"]
    _, replayed = start(folder, MIB, MIB // 2)
    assert replayed[: len(kept) + 1] == [*kept, b"end" * 300]
    assert replayed[-1] == b"after"


def test_a_full_disk_fails_then_recovers_once_there_is_room(small_disk: Path) -> None:
    folder = small_disk / "journal"
    journal, _ = start(folder, segment_bytes=MIB, reserve_bytes=MIB // 2)
    others = fill(small_disk)
    bodies: list[bytes] = []

    def ends() -> None:
        while True:
            bodies.append(b"end" * 3000)
            journal.append(bodies[-1])
            fill(small_disk)

    with pytest.raises(JournalFailed, match="No space left"):
        ends()
    assert tight(journal)
    with pytest.raises(JournalFailed):
        journal.recover([bodies[-1]])
    others.unlink()
    journal.recover([bodies[-1]])
    journal.append(b"after")
    assert not tight(journal)
    assert start(folder, MIB, MIB // 2)[1] == [*bodies, b"after"]


def test_a_start_on_a_full_disk_uses_the_room_kept(small_disk: Path) -> None:
    folder = small_disk / "journal"
    journal, _ = start(folder, segment_bytes=MIB, reserve_bytes=MIB // 2)
    journal.append(b"one")
    fill(small_disk)
    again, bodies = start(folder, MIB, MIB // 2)
    again.append(b"two")
    assert bodies == [b"one"]
    assert start(folder, MIB, MIB // 2)[1] == [b"one", b"two"]


def test_provision_says_when_there_is_room_again(small_disk: Path) -> None:
    others = fill(small_disk)
    assert not reserve.keep(small_disk, reserve.SEGMENT, MIB)
    assert reserve.held(small_disk, reserve.SEGMENT) == 0
    others.unlink()
    assert reserve.keep(small_disk, reserve.SEGMENT, MIB)
    assert reserve.held(small_disk, reserve.SEGMENT) == MIB


def test_a_reserve_that_does_not_fit_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reserve.keep(tmp_path, reserve.SEGMENT, 4096)

    def fills_the_disk(fd: int, offset: int, size: int) -> None:
        os.ftruncate(fd, size // 2)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fills_the_disk)
    assert not reserve.keep(tmp_path, reserve.SEGMENT, MIB)
    assert reserve.held(tmp_path, reserve.SEGMENT) == 4096


def _append_under_a_limit(folder: Path, told: Connection) -> None:
    """A broker whose files may not grow above 64 KiB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, resource.RLIM_INFINITY))
    journal = Killed.open(folder, segment_bytes=MIB, reserve_bytes=MIB)
    list(journal.replay())
    bodies: list[bytes] = []
    try:
        while True:
            bodies.append(bytes([len(bodies) % 256]) * 5000)
            journal.append(bodies[-1])
    except JournalFailed as failed:
        told.send((len(bodies), str(failed)))
    journal.recover([bodies[-1]])
    journal.append(b"after")
    told.send(journal.tight)


def test_a_file_size_limit_is_a_failure_like_any_other(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    child = multiprocessing.get_context("fork").Process(target=_append_under_a_limit, args=(tmp_path, theirs))
    child.start()
    assert ours.poll(30)
    count, failed = ours.recv()
    assert "File too large" in failed
    assert ours.poll(30)
    assert ours.recv() is True
    child.join(30)
    assert child.exitcode == 0
    bodies = [bytes([number % 256]) * 5000 for number in range(count)]
    assert start(tmp_path)[1] == [*bodies, b"after"]
