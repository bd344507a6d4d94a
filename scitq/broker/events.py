"""Durable facts, in the past tense: all that ever changes the state, live and at replay.

BANNER: these structures rest in journals. A field may be added at the end of one, with a default; anything else
raises FORMAT, and every released format must still open. Tags are never used twice.
"""

import msgspec
from msgspec import Raw, Struct, field

from scitq.broker.intervals import Runs
from scitq.model import Array, Changes, Gpu

FORMAT = 1


class Event(Struct, frozen=True, array_like=True, tag_field="event"):
    """One fact; its time is that of the entry it stands in."""


class Log(Struct, frozen=True, array_like=True):
    """What is kept of a stream: `total` written, [0, head) and [tail, total) kept, `pointer` of the last record."""

    total: int = 0
    head: int = 0
    tail: int = 0
    note: str = ""
    pointer: int | None = None


class Result(Struct, frozen=True, array_like=True):
    """An ended attempt as it rests: times in whole milliseconds, memory in KiB, names by number (about 45 bytes)."""

    attempt: int
    epoch: int
    worker: int
    status: int  # place in RESULTS
    class_: int  # place in CLASSES
    exit_code: int | None
    signal: int | None
    reason: str
    assigned_at: float
    started_ms: int | None  # after assigned_at
    ended_ms: int  # after assigned_at
    staging_ms: int = 0
    run_ms: int = 0
    upload_ms: int = 0
    suspended_ms: int = 0
    cpu_ms: int = 0
    peak_kib: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    stored: tuple[tuple[str, int], ...] = ()
    stdout: Log | None = None
    stderr: Log | None = None
    read_kib: int = 0
    written_kib: int = 0
    disk_kib: int = 0


RESULTS = ("succeeded", "failed", "cancelled")
CLASSES = (
    "",
    "exit",
    "signal",
    "oom",
    "timeout",
    "download",
    "upload",
    "image",
    "lost",
    "cancelled",
)

# ---------------------------------------------------------------------------- the mesh and its broker


class MeshCreated(Event, frozen=True, array_like=True, tag=1):
    """The first fact of a state; the mesh's id and the seconds of grace its workers have."""

    mesh: str
    epoch: int


class EpochRaised(Event, frozen=True, array_like=True, tag=2):
    """A repair or a restore may have forgotten attempts: those issued from now on can be told apart."""

    epoch: int


class BrokerStarted(Event, frozen=True, array_like=True, tag=3):
    """Nobody is connected yet."""

    version: str


class AccessGranted(Event, frozen=True, array_like=True, tag=4):
    """A public key is accepted."""

    name: str
    role: str
    key: str


class AccessRevoked(Event, frozen=True, array_like=True, tag=5):
    """A name's key is accepted no more."""

    name: str


# ---------------------------------------------------------------------------- tasks as users order them


class PartKept(Event, frozen=True, array_like=True, tag=10):
    """A part of a submit is kept, invisible until the submit is closed."""

    request: str
    part: int
    specs: tuple[Raw, ...]
    array: Array | None = None


class Submitted(Event, frozen=True, array_like=True, tag=11):
    """All parts of the request became tasks first … first + count - 1."""

    request: str
    first: int
    count: int
    by: str


class PartsDropped(Event, frozen=True, array_like=True, tag=12):
    """A submit was never closed."""

    request: str


class Edited(Event, frozen=True, array_like=True, tag=13):
    """Queued tasks got another specification."""

    tasks: Runs
    changes: Changes


class Cancelled(Event, frozen=True, array_like=True, tag=14):
    """Queued tasks were ended by a user."""

    tasks: Runs
    reason: str = ""


class Relaunched(Event, frozen=True, array_like=True, tag=15):
    """Ended tasks are queued again, perhaps with another specification."""

    tasks: Runs
    changes: Changes
    request: str = ""


class Deleted(Event, frozen=True, array_like=True, tag=16):
    """Tasks and all that is known of them are gone."""

    tasks: Runs


class BatchStopped(Event, frozen=True, array_like=True, tag=17):
    """Nothing of the batch starts any more; `how` is what befell the running."""

    batch: str
    how: str


class BatchStarted(Event, frozen=True, array_like=True, tag=18):
    """The batch goes on."""

    batch: str


class BatchDeleted(Event, frozen=True, array_like=True, tag=19):
    """The empty batch is forgotten."""

    batch: str


# ---------------------------------------------------------------------------- attempts


class Standby(Struct, frozen=True, array_like=True):
    """An earlier attempt that a worker still holds, while a later one is asked back."""

    attempt: int
    epoch: int
    worker: int
    phase: str


class Assigned(Event, frozen=True, array_like=True, tag=30):
    """Tasks are handed to a worker, each as its next attempt."""

    worker: int
    tasks: tuple[int, ...]


class Asked(Event, frozen=True, array_like=True, tag=31):
    """Attempts that have perhaps not started are asked back: to be queued, cancelled, edited, reinstated."""

    tasks: tuple[int, ...]
    intent: str  # requeue | cancel | edit | reinstate
    changes: Changes | None = None
    standby: Standby | None = None  # of `reinstate`: the earlier attempt that waits for the answer


class Returned(Event, frozen=True, array_like=True, tag=32):
    """They had not started, and will not under this number."""

    tasks: tuple[int, ...]


class Kept(Event, frozen=True, array_like=True, tag=33):
    """They had started: they stay where they are."""

    tasks: tuple[int, ...]


class Requeued(Event, frozen=True, array_like=True, tag=40):
    """Attempts that cannot have started are no more: their tasks are queued again, nothing is counted."""

    tasks: tuple[int, ...]


class Entered(Event, frozen=True, array_like=True, tag=34):
    """Attempts entered a phase; wall times of the worker."""

    phase: str
    tasks: tuple[int, ...]
    times: tuple[float, ...]


class HaltAsked(Event, frozen=True, array_like=True, tag=35):
    """A user wants these running attempts ended."""

    tasks: tuple[int, ...]


class Ended(Event, frozen=True, array_like=True, tag=36):
    """The current attempt ended; `again`: the task is queued for another, else it has ended with it."""

    task: int
    result: Result
    again: bool = False


class Reinstated(Event, frozen=True, array_like=True, tag=37):
    """An earlier attempt, thought lost with its worker, is current again."""

    task: int
    attempt: int
    epoch: int
    worker: int
    phase: str


class LogKept(Event, frozen=True, array_like=True, tag=38):
    """Bytes of a stream are on disk: (task, stream, next offset, pointer, from where the tail is kept) each."""

    marks: tuple[tuple[int, int, int, int, int], ...]


class LogRefused(Event, frozen=True, array_like=True, tag=39):
    """Nothing more of this stream is accepted."""

    task: int
    stream: int
    note: str


class SetAside(Event, frozen=True, array_like=True, tag=41):
    """An end of an epoch before a repair or restore, of an attempt that the state does not know: kept apart."""

    task: int
    result: Result


# ---------------------------------------------------------------------------- workers


class WorkerJoined(Event, frozen=True, array_like=True, tag=50):
    """A worker connected: new, or back."""

    worker: int
    id: str
    name: str
    batch: str
    concurrency: int
    prefetch: int
    hostname: str
    cpus: int
    memory: int
    version: str
    engine: str = ""
    gpus: tuple[Gpu, ...] = ()
    disk: int = 0


class WorkerOffline(Event, frozen=True, array_like=True, tag=51):
    """It said goodbye, or its connection went: nothing new goes there; what it holds is still its own."""

    worker: int


class WorkerLost(Event, frozen=True, array_like=True, tag=52):
    """Silent past the grace; the ends of what it held stand beside this fact."""

    worker: int


class WorkerChanged(Event, frozen=True, array_like=True, tag=53):
    """An operator changed it live."""

    worker: int
    concurrency: int
    prefetch: int
    batch: str
    paused: bool


class WorkerDeleted(Event, frozen=True, array_like=True, tag=54):
    """It is no member any more; what it held was queued again, uncounted, beside this fact."""

    worker: int


# ---------------------------------------------------------------------------- snapshots


class Folded(Event, frozen=True, array_like=True, tag=70):
    """An unended task that is not simply pending."""

    task: int
    attempt: int
    failures: int
    losses: int
    past: tuple[Result, ...]
    state: str
    numbers: tuple[int, ...] = ()  # waiting: the missing; held: worker, attempt, epoch
    times: tuple[float | None, ...] = ()  # held: assigned, started
    phase: str = ""
    intent: str = ""  # of returning; `halt` of a held one
    changes: Changes | None = None
    standby: Standby | None = None
    logs: tuple[tuple[int, int, int, int, int, str], ...] = ()  # stream, next, pointer, head, tail, refused
    let_go: Standby | None = None
    let_go_at: float = 0.0  # when that attempt was assigned
    barred: int = 0


class EndsFolded(Event, frozen=True, array_like=True, tag=71):
    """Ended tasks: ids and their packed records."""

    tasks: tuple[int, ...]
    packed: tuple[bytes, ...]


class SpecsFolded(Event, frozen=True, array_like=True, tag=72):
    """Specifications that were edited."""

    tasks: tuple[int, ...]
    packed: tuple[bytes, ...]


class Counted(Event, frozen=True, array_like=True, tag=73):
    """Numbers that no other event of a snapshot tells: next task, next worker, counters of workers."""

    next_task: int
    next_worker: int
    workers: tuple[tuple[int, int, int], ...] = ()  # worker, succeeded, failed
    former: dict[int, str] = field(default_factory=dict)  # names of deleted workers
    deleted: Runs = ()  # tasks of submits that are wholly deleted
    relaunches: dict[str, int] = field(default_factory=dict)  # the last requests to relaunch, and their counts
    means: dict[int, float] = field(default_factory=dict)  # worker: moving mean of what its tasks took, in seconds


Fact = (
    MeshCreated
    | EpochRaised
    | BrokerStarted
    | AccessGranted
    | AccessRevoked
    | PartKept
    | Submitted
    | PartsDropped
    | Edited
    | Cancelled
    | Relaunched
    | Deleted
    | BatchStopped
    | BatchStarted
    | BatchDeleted
    | Assigned
    | Asked
    | Returned
    | Kept
    | Entered
    | HaltAsked
    | Ended
    | Reinstated
    | LogKept
    | LogRefused
    | WorkerJoined
    | WorkerOffline
    | WorkerLost
    | WorkerChanged
    | WorkerDeleted
    | Requeued
    | SetAside
    | Folded
    | EndsFolded
    | SpecsFolded
    | Counted
)


class Entry(Struct, frozen=True, array_like=True):
    """All facts that one command made: wall time, what caused them, the facts."""

    at: float
    cause: str
    events: tuple[Fact, ...]


_decoder: msgspec.msgpack.Decoder[tuple[Entry, ...]] = msgspec.msgpack.Decoder(tuple[Entry, ...])
_encoder = msgspec.msgpack.Encoder()


def encode(entries: list[Entry]) -> bytes:
    """The body of one frame: a round of the broker."""
    return _encoder.encode(entries)


def decode(body: bytes) -> tuple[Entry, ...]:
    """The entries of one frame; msgspec.ValidationError when an event is unknown (a newer broker wrote it)."""
    return _decoder.decode(body)
