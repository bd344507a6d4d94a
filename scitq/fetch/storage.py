"""The seam between what moves data and where it lives: what a backend is, and what may go wrong."""

import threading
import time
from collections.abc import Iterator
from importlib import import_module
from typing import BinaryIO, NamedTuple, Protocol, cast

from scitq.fetch.uri import BACKENDS

DEEPEST = 200  # folders in folders: the standard library, which removes them again, recurses


class FetchError(Exception):
    """Data that could not be moved: one line, and whether trying again may help."""

    def __init__(self, reason: str, retry: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry


class Stopped(FetchError):
    """The caller set `stop`."""


class TimedOut(FetchError):
    """The time limit has passed."""


class Entry(NamedTuple):
    """A file in a storage."""

    name: str  # relative to the folder asked for; of a single file, its own
    size: int  # bytes
    version: str  # changes whenever the content may have
    trouble: str = ""  # why it cannot be read; its size and version then mean nothing


def why(error: OSError) -> str:
    """What the system says, as part of a line."""
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]


class Watch:
    """Counts the bytes that move and ends the transfer when asked to or when its time is over."""

    def __init__(self, stop: threading.Event | None) -> None:
        self.bytes = 0
        self._stop = stop or threading.Event()
        self._begin = time.monotonic()
        self._limit_s: float | None = None

    def limit(self, seconds: float | None) -> None:
        """Set how long the transfer may take, counted from its begin."""
        self._limit_s = seconds

    def moved(self, count: int) -> None:
        """Count bytes moved; raises as `check` does."""
        self.bytes += count
        self.check()

    def check(self) -> None:
        """Raises Stopped or TimedOut; to be called at least once per file and per block."""
        if self._stop.is_set():
            raise Stopped("stopped", retry=False)
        if self._limit_s is not None and time.monotonic() - self._begin > self._limit_s:
            raise TimedOut(f"not done within {self._limit_s:g} s", retry=True)


class Storage(Protocol):
    """A place where data lives. All raise OSError, or FetchError without the address: the caller adds it."""

    def stat(self, path: str) -> Entry:
        """A single file; refused when it is anything else."""

    def walk(self, path: str) -> Iterator[Entry]:
        """All files below a folder, in the order of their names folder by folder."""

    def open(self, path: str) -> BinaryIO:
        """The content of a file, as a stream to be read once."""

    def download(self, path: str, target: str, watch: Watch) -> int:
        """Write the file to a new local path, missing folders included; returns its bytes."""

    def upload(self, source: str, path: str, watch: Watch) -> int:
        """Store a local file in the place of what was there, visible only when whole; returns its bytes."""


def storage_of(scheme: str) -> Storage:
    """The backend of a scheme listed in `BACKENDS`."""
    return cast("Storage", import_module(BACKENDS[scheme]).Backend())
