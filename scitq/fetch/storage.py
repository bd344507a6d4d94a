"""The seam between what moves data and where it lives: what a backend is, and what may go wrong."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import BinaryIO, NamedTuple, Protocol, cast

from scitq.fetch.uri import SCHEMES, Uri

_LOOK_S = 0.5  # between two looks at what only `abandon` tells

DEEPEST = 200  # folders in folders: the standard library, which removes them again, recurses


class FetchError(Exception):
    """Data that could not be moved: one line, and whether trying again may help."""

    def __init__(self, reason: str, retry: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry


class NotThere(FetchError):
    """No file, folder, bucket or container of this name: final."""


class Refused(FetchError):
    """The storage knows us not, or does not let us: final."""


class Stopped(FetchError):
    """The caller set `stop`."""


class TimedOut(FetchError):
    """The time limit has passed."""


class Entry(NamedTuple):
    """A file in a storage, or, where one level is listed, a folder."""

    name: str  # relative to the folder asked for, a folder's ends with "/"; of a single file, its own
    size: int  # bytes; -1 when the storage does not say
    version: str  # changes whenever the content may have
    trouble: str = ""  # why it cannot be read; its size and version then mean nothing
    modified: float | None = None  # seconds since 1970, UTC, when the storage knows
    md5: str = ""  # of the content, 32 hexadecimal digits, when the storage knows
    type: str = ""  # media type, when the storage knows
    guessed: bool = False  # what the name will be shows only when the file comes


def why(error: OSError) -> str:
    """What the system says, as part of a line."""
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]


class Watch:
    """Counts the bytes that move, holds them to a rate, and ends the transfer when asked to or when its time is over.

    Shared by the threads of one call.
    """

    def __init__(
        self,
        stop: threading.Event | None = None,
        rate: float | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """`rate`: bytes per second, all threads together; `progress` is told of bytes, by all of them."""
        self.bytes = 0
        self.progress = progress
        self._stop = stop or threading.Event()
        self._begin = time.monotonic()
        self._limit_s: float | None = None
        self._abandoned = threading.Event()
        self._rate = rate
        self._free_at = self._begin  # when the bytes that moved so far are paid for
        self._guard = threading.Lock()

    def limit(self, seconds: float | None) -> None:
        """Set how long the transfer may take, counted from its begin."""
        self._limit_s = seconds

    def moved(self, count: int) -> None:
        """Count bytes moved, and wait while they came too fast; raises as `check` does."""
        with self._guard:
            self.bytes += count
            if self._rate is not None:
                self._free_at = max(self._free_at, time.monotonic()) + count / self._rate
        if self.progress is not None:
            self.progress(count)
        self.check()
        if self._rate is not None:
            self.pause(self._free_at - time.monotonic())

    def pause(self, seconds: float) -> None:
        """Wait, no longer than until the transfer has to end; raises as `check` does."""
        left = seconds if self._limit_s is None else min(seconds, self._begin + self._limit_s - time.monotonic())
        while left > 0:
            self._stop.wait(min(left, _LOOK_S))
            self.check()
            left -= _LOOK_S
        self.check()

    def abandon(self) -> None:
        """End the transfer for all its threads, as the caller's `stop` would: what one of them met ends it."""
        self._abandoned.set()

    def check(self) -> None:
        """Raises Stopped or TimedOut; to be called at least once per file and per block."""
        if self._stop.is_set() or self._abandoned.is_set():
            raise Stopped("stopped", retry=False)
        if self._limit_s is not None and time.monotonic() - self._begin > self._limit_s:
            raise TimedOut(f"not done within {self._limit_s:g} s", retry=True)


class Storage(Protocol):
    """A place where data lives; its methods may be called by several threads.

    A path is what stands behind `://` (`bucket/key`, `host/path`). All raise OSError, or FetchError without the
    address: the caller adds it. A method tries once: whoever moves data tries again.
    """

    def stat(self, path: str) -> Entry:
        """A single file; raises NotThere, and FetchError when it is anything else."""

    def walk(self, path: str) -> Iterator[Entry]:
        """All files below a folder, as they are found, in the order of their whole names (by code point).

        `path` with or without a trailing `/`; `a` never means its neighbour `ab`. Raises NotThere when there is no
        such folder, or, where folders are only beginnings of names, nothing in it.
        """

    def children(self, path: str) -> Iterator[Entry]:
        """What is in a folder, one level: files, and folders with a final `/`. Raises as `walk` does."""

    def open(self, path: str) -> BinaryIO:
        """The content of a file, as a stream to be read once."""

    def download(self, path: str, entry: Entry, target: str, watch: Watch) -> int:
        """Bring the file that `entry` tells of to a local path; returns the bytes that moved.

        It has that name only when it is whole, of the size, digest and version that `entry` tells; what is not whole
        stays beside it, and the next call for the same version goes on from there. Makes missing folders; replaces
        what has the name. Keeps the time of the source, where that is known.
        """

    def upload(self, source: str, path: str, watch: Watch) -> int:
        """Store a local file in the place of what was there, seen only when whole and verified; returns its bytes."""

    def write(self, content: BinaryIO, size: int, path: str, watch: Watch) -> int:
        """The same of a stream; `size` -1 when it is not known, else whatever is of another size is refused."""

    def copy(self, source: str, path: str, watch: Watch) -> bool:
        """Copy a file inside this storage, without its bytes coming here; False when this storage cannot."""

    def delete(self, paths: Iterable[str], watch: Watch) -> Iterator[tuple[str, str]]:
        """Delete files, many in one request where the storage can; each path with "" or why it is still there.

        What was not there counts as deleted.
        """


def storage_of(uri: Uri) -> Storage:
    """The backend of an address whose scheme is one of `SCHEMES`; it knows the options of the address."""
    return cast("Storage", import_module(f"scitq.fetch.backends.{SCHEMES[uri.scheme].backend}").Backend(uri))
