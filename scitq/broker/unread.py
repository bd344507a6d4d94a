"""How many bytes lie here for each connection: held until the disk has what they say, or queued in libzmq.

Libzmq tells nothing of its queues, but it gives back the buffer of a message that was not copied once it is done
with it: what it has not given back is not read. Small messages are copied; of those its own limit on their number
is bound enough.
"""

from collections import deque
from collections.abc import Iterator

import zmq

TRACKED_FROM = 16 * 1024  # bytes: messages of at least this size are lent to libzmq, and counted until given back
OVERHEAD = 128  # bytes that a held message takes beside its own

To = bytes | int  # a connection, or a worker wherever it is connected


class Unread:
    """Bytes by connection, and by worker while it is not settled where they go."""

    def __init__(self) -> None:
        self._held: dict[To, int] = {}
        self._lent: dict[To, deque[tuple[zmq.MessageTracker, int]]] = {}
        self._lent_bytes: dict[To, int] = {}

    def of(self, to: To) -> int:
        """The bytes that lie for it now."""
        lent = self._lent.get(to)
        if lent is None:
            return self._held.get(to, 0)
        while lent and lent[0][0].done:
            self._lent_bytes[to] -= lent.popleft()[1]
        if not lent:
            del self._lent[to], self._lent_bytes[to]
            return self._held.get(to, 0)
        return self._held.get(to, 0) + self._lent_bytes[to]

    def hold(self, to: To, frame: bytes) -> None:
        """A message is kept back until it may be sent."""
        self._held[to] = self._held.get(to, 0) + len(frame) + OVERHEAD

    def let_go(self, to: To, frame: bytes) -> None:
        """A message that was kept back is on its way, or dropped."""
        left = self._held[to] - len(frame) - OVERHEAD
        if left:
            self._held[to] = left
        else:
            del self._held[to]

    def lend(self, route: bytes, tracker: zmq.MessageTracker, size: int) -> None:
        """A message was given to libzmq uncopied."""
        self._lent.setdefault(route, deque()).append((tracker, size))
        self._lent_bytes[route] = self._lent_bytes.get(route, 0) + size

    def above(self, limit: int) -> Iterator[To]:
        """Those for whom more than that lies here; connections that are gone are forgotten on the way."""
        for to in {*self._held, *self._lent}:
            if self.of(to) > limit:
                yield to
