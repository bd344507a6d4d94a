"""What the loop puts before `decide`: who asks, what, and what has already been done on disk for it."""

from typing import NamedTuple

from scitq import wire
from scitq.broker.events import Fact


class Peer(NamedTuple):
    """A connection: its routing id, the role and name of its key, the worker it said hello as."""

    route: bytes
    role: str
    name: str
    worker: int | None = None


class Ask(NamedTuple):
    """A request of a peer."""

    peer: Peer
    message: wire.Request


class Mark(NamedTuple):
    """Bytes of a stream that were put into the log store: as `events.LogKept` says them."""

    task: int
    stream: int
    next: int
    pointer: int
    tail: int


class Reported(NamedTuple):
    """A worker's report, its output already handed to the log store; `full`: nothing more of it is taken."""

    peer: Peer
    report: wire.Report
    marks: tuple[Mark, ...]
    full: bool = False


class Silent(NamedTuple):
    """Nothing was heard of this worker for the grace, while the broker itself ran."""

    worker: int


class Gone(NamedTuple):
    """The connection of this worker is no more."""

    worker: int


class Schedule(NamedTuple):
    """Place what can be placed, but not with workers that have not read what they were handed."""

    slow: frozenset[int] = frozenset()


class DropParts(NamedTuple):
    """Forget submits that nobody closed since this wall time."""

    before: float


Command = Ask | Reported | Silent | Gone | Schedule | DropParts


class Send(NamedTuple):
    """A message for a connection (routing id) or for wherever a worker is connected (number)."""

    to: bytes | int
    message: wire.Answer


class Wait(NamedTuple):
    """An answer that waits until none of these tasks is on its way back any more."""

    peer: bytes
    id: int
    tasks: tuple[int, ...]
    touched: int
    skipped: tuple[wire.Skipped, ...]
    edit: bool  # those that had started are then `skipped`


class Decision:
    """Facts to be made durable, then messages to be sent; collected in order."""

    __slots__ = ("events", "sends", "waits")

    def __init__(self) -> None:
        self.events: list[Fact] = []
        self.sends: list[Send] = []
        self.waits: list[Wait] = []

    def fact(self, event: Fact) -> None:
        """Add a fact."""
        self.events.append(event)

    def send(self, to: bytes | int, message: wire.Answer) -> None:
        """Add a message."""
        self.sends.append(Send(to, message))
