"""The buckets that the native engine has opened, and those that it cannot reach though we can."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from scitq.fetch.bodies import Chunk
from scitq.fetch.storage import FetchError

R = TypeVar("R")


Opened = Callable[[str], Any]  # makes the engine's store of a bucket


class Doors:
    """One for each bucket or container; each method says None or False where another way must be taken.

    They keep nothing that leads back to who owns them: what goes with its last name closes its connections.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._doors: dict[str, Any] = {}
        self._proven: set[str] = set()
        self._closed: set[str] = set()

    def read(self, top: str, key: str, opened: Opened) -> tuple[str, int, Iterator[bytes]] | None:
        """A small object: its ETag, size and content. Raises FetchError."""
        from scitq.fetch.backends import native

        return self._through(top, key, opened, lambda door: native.read(door, key))

    def store(self, top: str, key: str, body: Chunk, opened: Opened) -> bool:
        """Store a small object, signed with the SHA-256 of its content. Raises FetchError."""
        from scitq.fetch.backends import native

        def stored(door: Any) -> bool:
            native.store(door, key, body.opened().read(body.size))
            return True

        return bool(self._through(top, key, opened, stored))

    def _through(self, top: str, key: str, opened: Opened, work: Callable[[Any], R]) -> R | None:
        from scitq.fetch.backends import native

        if top in self._closed or not native.takes(key):
            return None
        try:
            found = work(self._door(top, opened))
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

    def _door(self, top: str, opened: Opened) -> Any:
        with self._guard:  # held while it is made: a first request may go with that
            if top not in self._doors:
                self._doors[top] = opened(top)
            return self._doors[top]
