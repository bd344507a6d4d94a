"""The buckets that the native engine has opened, and those that it cannot reach though we can."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from scitq.fetch.backends.bodies import Chunk
from scitq.fetch.storage import FetchError

R = TypeVar("R")


class Doors:
    """One for each bucket or container; each method says None or False where another way must be taken."""

    def __init__(self, opened: Callable[[str], Any]) -> None:
        """`opened` makes the engine's store of a bucket."""
        self._opened = opened
        self._guard = threading.Lock()
        self._doors: dict[str, Any] = {}
        self._proven: set[str] = set()
        self._closed: set[str] = set()

    def read(self, top: str, key: str) -> tuple[str, int, Iterator[bytes]] | None:
        """A small object: its ETag, size and content. Raises FetchError."""
        from scitq.fetch.backends import native

        return self._through(top, key, lambda door: native.read(door, key))

    def store(self, top: str, key: str, body: Chunk) -> bool:
        """Store a small object, signed with the SHA-256 of its content. Raises FetchError."""
        from scitq.fetch.backends import native

        def stored(door: Any) -> bool:
            native.store(door, key, body.opened().read(body.size))
            return True

        return bool(self._through(top, key, stored))

    def _through(self, top: str, key: str, work: Callable[[Any], R]) -> R | None:
        from scitq.fetch.backends import native

        if top in self._closed or not native.takes(key):
            return None
        try:
            found = work(self._door(top))
        except native.Unreachable:
            if top in self._proven:
                raise
            self._closed.add(top)
            return None
        except FetchError:
            self._proven.add(top)
            raise
        self._proven.add(top)
        return found

    def _door(self, top: str) -> Any:
        with self._guard:  # held while it is made: a first request may go with that
            if top not in self._doors:
                self._doors[top] = self._opened(top)
            return self._doors[top]
