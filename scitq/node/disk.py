"""The disk of the scratch folder: room is reserved before a download, and made by removing what nobody needs now.

Whoever asks first is served first. A reservation is granted when the file system has the room, beside what other
downloads that are on their way still need; else what has not been used for the longest is removed; else it waits
for tasks that hold room to end, and when there are none that could, it is refused. What a task asks for itself is
reserved in the same way, and lasts as long as its command.
"""

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from scitq.fetch import FetchError, Seen, Stopped, TimedOut, parse
from scitq.node.say import say

TRANSFERS = 8  # reservations on their way at once: each may be a task's inputs, several in parallel
MARGIN = 256 << 20  # bytes always left, or a hundredth of a smaller disk: records and output need some
UNPACKED = 3  # times its size, something packed is expected to need
LOW = 2 << 30  # bytes, or a fiftieth of a smaller disk: with less free, what nobody needs is removed unasked
LOOK_S = 1.0  # between two looks at what nobody tells of: other programs fill and empty disks too


class NoRoom(FetchError):
    """What was asked for will not fit, however long it waits."""


class Spare(NamedTuple):
    """Something that may be removed; `remove` tells the bytes it gave back, 0 when it is needed after all."""

    used_at: float  # wall time
    remove: Callable[[], int]


class _Coming(NamedTuple):
    paths: tuple[str, ...]
    size: int
    lasts: bool  # it is a task's own, no download's

    @property
    def missing(self) -> int:
        """How much of the reserved room is not taken yet."""
        return max(0, self.size - occupied(*self.paths))


class Disk:
    """The room of one scratch folder; its methods may be called by several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sources: list[Callable[[], Iterable[Spare]]] = []
        self._changed = threading.Condition()
        self._queue: list[object] = []  # who waits, the first first
        self._coming: dict[str, _Coming] = {}
        self._tenants: set[str] = set()

    def offer(self, spares: Callable[[], Iterable[Spare]]) -> None:
        """Let what this tells of be removed when room is needed."""
        self._sources.append(spares)

    def withdraw(self, spares: Callable[[], Iterable[Spare]]) -> None:
        """Let nothing of this be removed any more."""
        self._sources.remove(spares)

    def enter(self, name: str) -> None:
        """An attempt has all it needs: the room that it holds comes back when it leaves."""
        with self._changed:
            self._tenants.add(name)

    def leave(self, name: str) -> None:
        """What an attempt held is gone, or may be removed."""
        with self._changed:
            self._tenants.discard(name)
            self._coming.pop(name, None)
            self._changed.notify_all()

    def reserve(
        self,
        owner: str,
        path: str,
        size: int,
        stop: threading.Event,
        until: float = float("inf"),
        waits: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Wait for room for `size` bytes below `path`, what lies there among them; `until`: by monotonic clock.

        It is held until `came`; `waits` is told what for, when it takes long. Raises NoRoom, one line with the sizes,
        Stopped, TimedOut.
        """
        self._await(owner, _Coming((path,), size, False), stop, until, waits)

    def claim(
        self,
        name: str,
        paths: tuple[str, ...],
        size: int,
        stop: threading.Event,
        until: float = float("inf"),
        waits: Callable[[str], None] = lambda _: None,
    ) -> None:
        """The same for an attempt that asks for room of its own: what it writes below `paths` is counted off.

        Who has it needs no more room: it waits for nobody who may wait for it.
        """
        self._await(name, _Coming(paths, size, True), stop, until, waits)

    def hold(self, name: str, paths: tuple[str, ...], size: int) -> None:
        """An attempt has this room since before the agent started."""
        with self._changed:
            self._coming[name] = _Coming(paths, size, True)

    def check(self, size: int) -> None:
        """Raises NoRoom for what no attempt could ever have here."""
        if size > self._left() + occupied(str(self._folder)):
            raise NoRoom(self._why(size), retry=False)

    def most(self) -> int:
        """Bytes that one attempt could have, were there no other: all that was found in a second."""
        return max(0, self._left()) + _occupied_in_time(str(self._folder), time.monotonic() + LOOK_S)

    def _await(
        self, owner: str, coming: _Coming, stop: threading.Event, until: float, waits: Callable[[str], None]
    ) -> None:
        turn = object()
        size = coming.missing
        with self._changed:
            self._queue.append(turn)
        try:
            most: int | None = None
            has_said = False
            while not self._granted(turn, owner, coming):
                if stop.is_set():
                    raise Stopped("stopped", retry=False)
                if time.monotonic() > until:
                    raise TimedOut("there was no room on the worker's disk in time", retry=False)
                if self._is_next(turn):
                    if most is None:
                        most = self._left() + occupied(str(self._folder))
                    if size > most:
                        raise NoRoom(self._why(size), retry=False)
                    alone = self._is_alone  # as seen before the room is made: who leaves meanwhile may have left some
                    made = self._make(size - self._free())
                    if alone and not made and not self._granted(turn, owner, coming):
                        raise NoRoom(self._why(size), retry=False)
                    if made or alone:
                        continue
                    if not has_said:
                        has_said = True
                        what = f"waits for room: it needs {in_words(size)}, {in_words(max(0, self._free()))} are free"
                        say(f"{owner} {what}")
                        waits(what)
                elif not has_said:
                    waits("waits for room on the worker's disk: others are served first")
                with self._changed:
                    self._changed.wait(LOOK_S)
        finally:
            with self._changed:
                self._queue.remove(turn)
                self._changed.notify_all()

    def came(self, owner: str) -> None:
        """Nothing more comes for this reservation, or this attempt."""
        with self._changed:
            self._coming.pop(owner, None)
            self._changed.notify_all()

    @property
    def is_low(self) -> bool:
        """Whether so little is free that what nobody needs should go."""
        return self._lacking() > 0

    def relieve(self) -> None:
        """Remove what nobody needs, until the disk is not low any more."""
        self._make(self._lacking())

    def _lacking(self) -> int:
        disk = os.statvfs(self._folder)
        return min(LOW, disk.f_blocks * disk.f_frsize // 50) - disk.f_bavail * disk.f_frsize

    @property
    def _is_alone(self) -> bool:
        """Whether nobody holds room that could come back."""
        with self._changed:
            return not self._tenants and not self._coming

    def _is_next(self, turn: object) -> bool:
        with self._changed:
            transfers = sum(not one.lasts for one in self._coming.values())
            return self._queue[0] is turn and transfers < TRANSFERS

    def _granted(self, turn: object, owner: str, coming: _Coming) -> bool:
        """Whether it is reserved by now. Nobody else's turn comes while it is looked at, and without the guard."""
        with self._changed:
            if owner in self._coming:
                return True
        if not self._is_next(turn):
            return False
        missing = coming.missing
        if missing and self._free() < missing:
            return False
        with self._changed:
            self._coming[owner] = coming
        return True

    def _free(self) -> int:
        """What may still be given away: all that is left, but what is on its way."""
        with self._changed:
            coming = list(self._coming.values())
        missing = sum(one.missing for one in coming)  # looked at first: what is written meanwhile counts twice
        return self._left() - missing

    def _left(self) -> int:
        """What the file system has left, but the margin."""
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize - min(MARGIN, disk.f_blocks * disk.f_frsize // 100)

    def _make(self, wanted: int) -> bool:
        """Remove what was not used for the longest until so many bytes came back; whether something did."""
        made = 0
        for spare in sorted((one for source in self._sources for one in source()), key=lambda one: one.used_at):
            if made >= wanted:
                break
            made += spare.remove()
        return made > 0

    def _why(self, size: int) -> str:
        disk = os.statvfs(self._folder)
        total, free = disk.f_blocks * disk.f_frsize, max(0, self._free())
        return (
            f"no room: it needs {in_words(size)}, and of the {in_words(total)} of the worker's disk ({self._folder})"
            f" {in_words(free)} are free and no more can be made"
        )


def expected(uri: str, seen: Seen) -> int:
    """Bytes of the disk that an address will need with its actions, as far as its source tells."""
    packs = {"gunzip", "untar", "unzip"} & set(parse(uri).actions)
    return max(0, seen.bytes) * (UNPACKED if packs else 1)


def is_full(error: BaseException) -> bool:
    """Whether a full disk is behind an error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__
    return False


def occupied(*paths: str) -> int:
    """Bytes of the disk that folders take, what has several names counted once."""
    return sum(sizes(*paths))


def _occupied_in_time(path: str, until: float) -> int:
    """The same as far as there is time, by monotonic clock."""
    return sum(takewhile(lambda _: time.monotonic() < until, sizes(path)))


def sizes(*paths: str) -> Iterator[int]:
    """The bytes of the disk of each thing below these folders, of what has several names for the first of them.

    It may be left standing for as long as one likes: no folder is read ahead.
    """
    seen: set[tuple[int, int]] = set()
    waiting = list(paths)
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as found:  # gone meanwhile, or not for this user
            for entry in found:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(entry.path)
                elif status.st_nlink > 1:
                    if (identity := (status.st_dev, status.st_ino)) in seen:
                        continue
                    seen.add(identity)
                yield status.st_blocks * 512


def in_words(count: int) -> str:
    """A number of bytes for a reader."""
    value, unit = float(count), 0
    while value >= 1024 and unit < 4:
        value, unit = value / 1024, unit + 1
    return f"{count} bytes" if not unit else f"{value:.1f} {'KMGT'[unit - 1]}iB"
