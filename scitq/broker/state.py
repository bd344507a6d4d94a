"""The broker's whole memory: `apply` (apply.py) is its only writer, `check` (check.py) says its invariants."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scitq.broker.intervals import IntervalSet
from scitq.broker.moves import MOVES
from scitq.broker.tasks import Lane, Live, TaskTable
from scitq.model import ENDED, EVERY_BATCH, Access, Gpu
from scitq.needs import Needs, fits

if TYPE_CHECKING:
    from scitq.broker.events import PartKept, SetAside

BEAT_SECONDS = 5.0
WINDOW_SECONDS = 0.2
WINDOW_LIMIT = 512


class BatchState:
    """A batch: its queues, its counts, its unended touched tasks."""

    __slots__ = ("counts", "lanes", "live", "name", "queues", "stopped")

    def __init__(self, name: str) -> None:
        self.name = name
        self.stopped = ""
        self.queues: dict[Lane, IntervalSet] = {}  # none of them empty
        self.lanes: list[Lane] = []  # by ascending priority, those of `queues`
        self.counts = dict.fromkeys(MOVES, 0)
        self.live: dict[int, Live] = {}

    def enqueue(self, lane: Lane, first: int, last: int) -> None:
        """Have consecutive tasks wait in a lane."""
        queue = self.queues.get(lane)
        if queue is None:
            queue = self.queues[lane] = IntervalSet()
            insort(self.lanes, lane)
        queue.add(first, last)

    def dequeue(self, lane: Lane, first: int, last: int) -> None:
        """Take consecutive tasks out of their lane; KeyError when one of them does not wait there."""
        queue = self.queues[lane]
        queue.remove_run(first, last)
        if not queue:
            del self.queues[lane], self.lanes[bisect_left(self.lanes, lane)]

    @property
    def unended(self) -> int:
        """How many tasks have not ended."""
        return sum(number for status, number in self.counts.items() if status not in ENDED)

    @property
    def size(self) -> int:
        """How many tasks there are."""
        return sum(self.counts.values())


class WorkerState:
    """A worker, and what it holds in the order of handing over."""

    __slots__ = (
        "batch",
        "claims",
        "concurrency",
        "cpus",
        "disk",
        "engine",
        "failed",
        "gpus",
        "held",
        "hostname",
        "id",
        "joined_at",
        "memory",
        "name",
        "number",
        "paused",
        "prefetch",
        "run_seconds",
        "seen_at",
        "status",
        "storing",
        "succeeded",
        "version",
    )

    def __init__(self, number: int, key: str, name: str) -> None:
        self.number = number
        self.id = key
        self.name = name
        self.batch = ""
        self.concurrency = 1
        self.prefetch = 0
        self.paused = False
        self.status = "online"
        self.hostname = ""
        self.cpus = 0
        self.memory = 0
        self.engine = ""  # its container engine, "" for none
        self.gpus: tuple[Gpu, ...] = ()
        self.disk = 0  # bytes that its tasks can have
        self.version = ""
        self.joined_at = 0.0
        self.seen_at = 0.0
        self.succeeded = 0
        self.failed = 0
        self.held: dict[int, Live] = {}
        self.storing: set[int] = set()  # those of them whose command has ended
        self.claims: dict[int, Needs] = {}  # what the others ask beside a slot, those that do
        self.run_seconds: float | None = None  # moving mean of what its tasks took, once known

    @property
    def ahead(self) -> int:
        """How many tasks beyond its slots it may hold: prefetch and window."""
        if self.run_seconds is None:
            return self.prefetch
        begun = self.concurrency * WINDOW_SECONDS / max(self.run_seconds, 1e-4)
        return self.prefetch + (min(int(begun), WINDOW_LIMIT) if begun >= self.concurrency else 0)

    @property
    def room(self) -> int:
        """How many more tasks it may be handed."""
        if self.status != "online" or self.paused:
            return 0
        return self.concurrency + self.ahead - self.busy

    @property
    def busy(self) -> int:
        """How many slots its tasks take or wait for: none while results are stored, unless of too many at once."""
        return len(self.held) - min(len(self.storing), self.concurrency)

    def could(self, needs: Needs) -> bool:
        """Whether it has what a task needs when it runs nothing else."""
        if needs.container and not self.engine:
            return False
        return not needs.asks or fits(needs, self.cpus, self.memory, len(self.gpus), self.disk)

    def serves(self, batch: str) -> bool:
        """Whether tasks of the batch may come here."""
        return self.batch in (batch, EVERY_BATCH)


class Part:
    """An open submit: its parts so far, and when the last came."""

    __slots__ = ("at", "parts")

    def __init__(self) -> None:
        self.parts: dict[int, PartKept] = {}
        self.at = 0.0


class State:
    """Everything durable."""

    def __init__(self) -> None:
        self.beat = BEAT_SECONDS  # what workers are told: a setting of the running broker, no fact
        self.mesh = ""
        self.epoch = 1
        self.tasks = TaskTable()
        self.batches: dict[str, BatchState] = {}
        self.workers: dict[int, WorkerState] = {}
        self.worker_ids: dict[str, int] = {}
        self.former: dict[int, str] = {}  # names of deleted workers, for the story of old attempts
        self.next_worker = 1
        self.roomy: dict[int, WorkerState] = {}  # those with room > 0
        self.idle: dict[int, WorkerState] = {}  # those of them that hold nothing
        self.uncounted: dict[int, WorkerState] = {}  # those whose room changed since: recounted once an entry
        self.claimed: dict[int, WorkerState] = {}  # those of which a task asks for more than a slot
        self.crowded: dict[int, WorkerState] = {}  # those that hold more than they can run at once
        self.requests: dict[str, tuple[int, int]] = {}
        self.relaunches: dict[str, int] = {}  # the last requests to relaunch: how many tasks each queued again
        self.parts: dict[str, Part] = {}
        self.children: dict[int, set[int]] = {}  # a task -> those that wait for it
        self.access: dict[str, Access] = {}  # by name
        self.keys: dict[str, Access] = {}  # by key, valid ones only
        self.set_aside: list[SetAside] = []
        self.released: list[int] = []  # log pointers that no task names any more, for the log store

    def batch(self, name: str) -> BatchState:
        """The batch, made when first named."""
        batch = self.batches.get(name)
        if batch is None:
            batch = self.batches[name] = BatchState(name)
        return batch

    def status_of(self, task: int) -> str:
        """The status of a task that exists."""
        slot = self.tasks.slot(task)
        if slot is None:
            return "pending"
        if type(slot) is Live:
            return slot.place.status
        assert type(slot) is bytes
        return ("succeeded", "failed", "cancelled")[slot[1]]  # the record is a msgpack array of small ints first

    def batch_of(self, task: int) -> str:
        """The batch of a task that exists."""
        slot = self.tasks.slot(task)
        if type(slot) is Live:
            return slot.batch
        if task in self.tasks.edited:
            return self.tasks.spec(task).batch
        return self.tasks.submission(task).group(task).batch

    def serving(self, batch: str) -> Iterator[WorkerState]:
        """The workers that may run tasks of the batch, connected or not, lost ones left out."""
        return (w for w in self.workers.values() if w.status != "lost" and w.serves(batch))

    def worker_named(self, text: str) -> WorkerState | None:
        """The worker of this name or id."""
        number = self.worker_ids.get(text)
        if number is not None:
            return self.workers[number]
        return next((worker for worker in self.workers.values() if worker.name == text), None)
