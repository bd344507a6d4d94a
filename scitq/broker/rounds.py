"""Durable before visible: facts on their way to the disk, and messages that leave when these are there.

A message goes with the round of facts that it may have seen: the one being collected, else the one being written;
when there is neither, at once.
"""

from collections.abc import Callable, Iterable

from scitq.broker import events
from scitq.broker.commands import Send
from scitq.broker.door import PUSH_LIMIT, UNREAD_LIMIT, Door, Parcel
from scitq.broker.events import Entry
from scitq.broker.logs import LogStore
from scitq.broker.peers import Peers
from scitq.broker.writer import Round, Writer


class Rounds:
    """The round being collected, and the way out of what waits for it."""

    def __init__(
        self, writer: Writer, store: LogStore, door: Door, peers: Peers, drop: Callable[[bytes], None]
    ) -> None:
        """`drop` is told of a connection that takes no more: it has to say hello again."""
        self._writer = writer
        self._store = store
        self._door = door
        self._peers = peers
        self._drop = drop
        self._entries: list[Entry] = []
        self._held: list[Parcel] = []

    @property
    def collecting(self) -> bool:
        """Whether there are facts that nobody has begun to write."""
        return bool(self._entries)

    def add(self, entry: Entry) -> None:
        """Facts that have just been applied."""
        self._entries.append(entry)

    def commit(self, released: list[int]) -> bool:
        """Hand the round to the sync thread unless it has one; `released`: stored output that it lets go."""
        if self._writer.in_flight is not None or not self._entries:
            return False
        entries, self._entries = self._entries, []
        parcels, self._held = self._held, []
        self._writer.write(Round(events.encode(entries), self._store.take(), entries, parcels, released))
        return True

    def release(self) -> Round | None:
        """The round that is on disk since the last call, if there is one; what waited for it has left."""
        done = self._writer.durable()
        if done is not None:
            for parcel in done.parcels:
                self._door.unread.let_go(*parcel)
                self._transmit(parcel)
        return done

    def say(self, sends: Iterable[Send]) -> None:
        """Send now, or when all that the messages may have seen is on disk."""
        for send in sends:
            parcel = self._door.pack(*send)
            if self._entries:
                waiting = self._held
            elif self._writer.in_flight is not None:
                waiting = self._writer.in_flight.parcels
            else:
                self._transmit(parcel)
                continue
            if self._door.unread.of(parcel.to) > 2 * UNREAD_LIMIT:
                self._drop_slow(parcel.to)
                continue
            self._door.unread.hold(*parcel)
            waiting.append(parcel)

    def say_in_trouble(self, sends: Iterable[Send]) -> None:
        """Say what tells nothing of the state: at once when the disk refuses, for nothing else gets out then."""
        if not self._writer.trouble:
            self.say(sends)
            return
        for send in sends:
            self._transmit(self._door.pack(*send))

    def takes_more(self, route: bytes, given: int) -> bool:
        """Whether so many bytes may be pushed to a connection."""
        return self._door.unread.of(route) + given <= PUSH_LIMIT

    def slow_workers(self) -> frozenset[int]:
        """Workers that have not read what they were handed: nothing more is handed over to them."""
        above = list(self._door.unread.above(PUSH_LIMIT))
        numbers = (to if isinstance(to, int) else self._peers.worker_at(to) for to in above)
        return frozenset(number for number in numbers if number is not None)

    def _transmit(self, parcel: Parcel) -> None:
        route = self._peers.route_of(parcel.to) if isinstance(parcel.to, int) else parcel.to
        if route is not None and not self._door.send(route, parcel.frame):
            self._drop(route)  # it will say hello again, and ask again

    def _drop_slow(self, to: bytes | int) -> None:
        route = self._peers.route_of(to) if isinstance(to, int) else to
        if route is not None:
            self._drop(route)
