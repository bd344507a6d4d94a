"""One at a time per address: whoever wants what another is bringing waits for that one, and shares its failure."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from scitq.fetch import FetchError, Stopped, TimedOut

_LOOK_S = 0.25  # between two looks at whether somebody gave up


class _One(NamedTuple):
    stop: threading.Event
    until: float

    @property
    def gave_up(self) -> bool:
        return self.stop.is_set() or time.monotonic() > self.until


class Wanted(threading.Event):
    """Counts as set once nobody of those who want it waits any more: a stop for the transfer that they share."""

    def __init__(self) -> None:
        super().__init__()
        self.wanting: list[_One] = []
        self.fetching = False

    @classmethod
    def by(cls, stop: threading.Event, limit_s: float | None) -> _One:
        """One who wants it, for so many seconds."""
        return _One(stop, float("inf") if limit_s is None else time.monotonic() + limit_s)

    def is_set(self) -> bool:
        """Whether all have given up."""
        return all(one.gave_up for one in list(self.wanting))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait so long; whether all have given up."""
        super().wait(timeout)
        return self.is_set()

    @property
    def until(self) -> float:
        """When the most patient gives up."""
        return max((one.until for one in list(self.wanting)), default=0.0)


class _Turn:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wanted = Wanted()
        self.failed_at = 0.0
        self.error: FetchError | None = None


class Turns:
    """The turns of all addresses."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._turns: dict[str, _Turn] = {}

    def waiting(self, uri: str) -> int:
        """How many want this address now, the one who brings it included."""
        with self._guard:
            return len(self._turns[uri].wanted.wanting) if uri in self._turns else 0

    def wanted(self) -> list[str]:
        """Addresses that somebody wants now."""
        with self._guard:
            return list(self._turns)

    def fetching(self) -> dict[str, int]:
        """Addresses that are on their way, and how many wait for each."""
        with self._guard:
            return {uri: len(turn.wanted.wanting) for uri, turn in self._turns.items() if turn.wanted.fetching}

    @contextmanager
    def take(self, uri: str, one: _One) -> Iterator[Wanted]:
        """Wait for the turn; raises Stopped, TimedOut, and what the one before failed with, if it began since."""
        came_at = time.monotonic()
        with self._guard:
            turn = self._turns.setdefault(uri, _Turn())
            turn.wanted.wanting.append(one)
        try:
            while not turn.lock.acquire(timeout=_LOOK_S):
                self._look(uri, one)
            try:
                self._look(uri, one)
                if turn.error is not None and turn.failed_at > came_at:
                    raise type(turn.error)(turn.error.reason, turn.error.retry)
                yield turn.wanted
            except (Stopped, TimedOut):
                self._look(uri, one)
                raise
            except FetchError as error:
                turn.error, turn.failed_at = error, time.monotonic()
                raise
            finally:
                turn.lock.release()
        finally:
            with self._guard:
                turn.wanted.wanting.remove(one)
                if not turn.wanted.wanting:
                    del self._turns[uri]

    @staticmethod
    def _look(uri: str, one: _One) -> None:
        if one.stop.is_set():
            raise Stopped(f"{uri}: stopped", retry=False)
        if time.monotonic() > one.until:
            raise TimedOut(f"{uri}: not here in time", retry=False)
