"""The broker's pure core in a box: commands in, messages out, every entry kept; no socket, disk or clock."""

from collections.abc import Callable, Sequence
from typing import Any

from scitq import wire
from scitq.broker import events
from scitq.broker.apply import apply
from scitq.broker.check import check
from scitq.broker.commands import Ask, Command, Decision, Peer, Reported, Schedule, Send
from scitq.broker.decide import decide
from scitq.broker.events import Entry
from scitq.broker.fold import fold
from scitq.broker.intake import take_in
from scitq.broker.log_records import Stream
from scitq.broker.state import State
from scitq.broker.tasks import PENDING, Live, lane_of, unpack_end
from scitq.broker.waits import Waits

ADMIN = Peer(b"client", "admin", "client")
Decide = Callable[[State, Command, float], Decision]


class Books:
    """A log store that remembers: pointers are places in a list, from 1."""

    def __init__(self) -> None:
        self.records: list[tuple[int | None, Stream, int, bytes]] = []

    def append(self, previous: int | None, stream: Stream, offset: int, data: bytes) -> int:
        self.records.append((previous, stream, offset, data))
        return len(self.records)

    def text(self, pointer: int | None) -> bytes:
        """All stored bytes of the stream that ends at `pointer`, gaps closed."""
        pieces = []
        while pointer:
            pointer, _, _, data = self.records[pointer - 1]
            pieces.append(data)
        return b"".join(reversed(pieces))


class PureBroker:
    """What the loop does around `decide`, without its sockets."""

    def __init__(self, *, decide: Decide = decide) -> None:
        self._decide = decide
        self.state = State()
        self.entries: list[Entry] = []
        self.waits = Waits()
        self.books = Books()
        self.monotonic = 0.0
        self.wall = 1_000.0
        self.strict = True
        self.full = False  # the disk
        self.record(events.MeshCreated("mesh", 1))

    def record(self, *facts: events.Fact) -> None:
        entry = Entry(self.wall, "test", facts)
        assert events.decode(events.encode([entry])) == (entry,)
        apply(self.state, entry)
        self.entries.append(entry)

    def tell(self, command: Command) -> list[Send]:
        """Decide and apply one command."""
        before = dump(self.state) if self.strict else None
        decision = self._decide(self.state, command, self.wall)
        if self.strict:
            assert dump(self.state) == before, "decide changed the state"
        if decision.events:
            self.record(*decision.events)
        for wait in decision.waits:
            self.waits.add(wait, self.monotonic)
        if self.strict:
            assert check(self.state) == []
        return decision.sends

    def ask(self, message: wire.Request, peer: Peer = ADMIN) -> list[Send]:
        return self.tell(Ask(peer, message))

    def report(self, worker: int, report: wire.Report, *, route: bytes = b"") -> list[Send]:
        """A report of a worker, its output put into the books first."""
        peer = Peer(route or b"worker", "worker", "worker", worker)
        marks = () if self.full else take_in(self.state, self.books, worker, report)  # type: ignore[arg-type]
        return self.tell(Reported(peer, report, marks, self.full))

    def settle(self) -> list[Send]:
        """Place what can be placed, and answer what need not wait longer."""
        sends: list[Send] = []
        for _ in range(100):
            before = len(self.entries)
            sends += self.tell(Schedule())
            if len(self.entries) == before:
                return sends + self.waits.settle(self.state, self.monotonic)
        raise AssertionError("placing never ends")

    def restart(self) -> None:
        """A new broker on the same journal."""
        self.state = replay(self.entries)
        self.waits = Waits()
        self.record(events.BrokerStarted("test"))


def replay(entries: Sequence[Entry]) -> State:
    """The state that these entries make, each having crossed the journal."""
    state = State()
    for entry in events.decode(events.encode(list(entries))):
        apply(state, entry)
    return state


def refold(state: State) -> State:
    """The state that the snapshot of this one makes."""
    return replay(list(fold(state)))


def dump(state: State) -> dict[str, Any]:
    """All of a state that may matter later, in one comparable form."""
    return {
        "mesh": (state.mesh, state.epoch, state.tasks.next, state.next_worker),
        "tasks": {task: _task(state, task) for task in state.tasks.ids()},
        "batches": {name: _batch(batch) for name, batch in state.batches.items()},
        "workers": {number: _worker(worker) for number, worker in state.workers.items()},
        "ids": dict(state.worker_ids),
        "former": dict(state.former),
        "roomy": sorted(state.roomy),
        "idle": sorted(state.idle),
        "claimed": sorted(state.claimed),
        "crowded": sorted(state.crowded),
        "requests": dict(state.requests),
        "parts": {
            request: (
                part.at,
                {number: events.encode([Entry(0, "", (kept,))]) for number, kept in part.parts.items()},
            )
            for request, part in state.parts.items()
        },
        "children": {parent: sorted(children) for parent, children in state.children.items() if children},
        "access": dict(state.access),
        "keys": dict(state.keys),
        "aside": list(state.set_aside),
    }


def _task(state: State, task: int) -> tuple[Any, ...]:
    slot = state.tasks.slot(task)
    submission = state.tasks.submission(task)
    head = (
        state.status_of(task),
        state.batch_of(task),
        wire.unpack_spec(state.tasks.packed(task)),
        submission.request,
        submission.by,
        submission.at,
    )
    if type(slot) is bytes:
        return (*head, unpack_end(slot))
    if slot is None:
        slot = Live(task, head[1], lane_of(state.tasks.spec(task)))
        assert slot.place is PENDING
    assert type(slot) is Live
    place = slot.place
    if place.status == "waiting":
        place = ("waiting", sorted(place.missing))  # type: ignore[assignment, union-attr]
    rest = {
        name: dict(value) if isinstance(value := getattr(slot, name), dict) else value
        for name in Live.__slots__
        if name != "place"
    }
    return (*head, place, rest)


def _batch(batch: Any) -> tuple[Any, ...]:
    queues = {lane: queue.runs() for lane, queue in batch.queues.items() if queue}
    return (batch.stopped, dict(batch.counts), queues)


def _worker(worker: Any) -> dict[str, Any]:
    rest = {name: getattr(worker, name) for name in type(worker).__slots__ if name not in ("held", "seen_at")}
    return {**rest, "held": list(worker.held), "seen_at": 0 if worker.status == "online" else worker.seen_at}
