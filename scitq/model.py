"""Plain frozen data: what a task, an attempt, a worker and a batch are. No behaviour.

Times that people read are wall time in seconds since 1970 (UTC, float). Durations are seconds, sizes bytes.
The field names here are the names in `--json`, in the Python client and on the wire.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

MIB = 1024 * 1024
DEFAULT_BATCH = "Default"
EVERY_BATCH = "*"  # a worker of this "batch" serves all of them
LOG_LIMIT = 32 * MIB  # per stream: half for the head, half for the tail
LOST_BUDGET = 5

# What a worker tells is bounded, so that no sum of it passes what msgpack and other languages can hold.
Count = Annotated[int, Meta(ge=0, le=2**53)]  # ids, numbers, bytes
Moment = Annotated[float, Meta(ge=0.0, le=1e11)]  # wall time
Seconds = Annotated[float, Meta(ge=-1e10, le=1e10)]  # neither infinite nor no number at all

if TYPE_CHECKING:
    Word = str | bytes  # one word of a command: `bytes` only when it is not valid UTF-8
else:
    Word = Any  # msgspec knows no union of the two: `_check_words` holds it instead

Status = Literal[
    "waiting",
    "pending",
    "assigned",
    "staging",
    "running",
    "uploading",
    "returning",
    "succeeded",
    "failed",
    "cancelled",
]
ENDED: frozenset[str] = frozenset(("succeeded", "failed", "cancelled"))

Class = Literal["", "exit", "signal", "oom", "timeout", "download", "upload", "image", "lost", "cancelled"]
Stop = Literal["", "stop", "suspend", "terminate", "kill"]


def _check_words(what: str, words: Iterable[object]) -> None:
    for word in words:
        if type(word) is not str and type(word) is not bytes:
            raise ValueError(f"{what} holds words, not {type(word).__name__}")


class Spec(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One task as its user wrote it: what the wire carries and the journal keeps."""

    command: tuple[Word, ...] = ()
    batch: str = DEFAULT_BATCH
    name: str = ""
    container: str = ""
    container_options: str = ""
    inputs: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    output: str = ""
    env: dict[str, Word] = field(default_factory=dict)
    uid: int | None = None
    gid: int | None = None
    retry: int = 0
    run_timeout: float | None = None
    download_timeout: float | None = None
    priority: int = 0
    log_limit: int | None = LOG_LIMIT  # bytes per stream; None keeps everything
    requires: tuple[int, ...] = ()
    cpu: float | None = None  # cores; None: those of a slot
    mem: int | None = None  # bytes that it may have at most; None: no limit
    gpu: float | None = None  # a whole number, or a share of one
    disk: int | None = None  # bytes kept free for it

    def __post_init__(self) -> None:
        _check_words("command", self.command)
        if self.env:
            _check_words("env", self.env.values())


class Changes(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What `task update` and `task relaunch` may change; a field left out stays as it is."""

    command: tuple[Word, ...] | UnsetType = UNSET
    batch: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    container: str | UnsetType = UNSET
    container_options: str | UnsetType = UNSET
    inputs: tuple[str, ...] | UnsetType = UNSET
    resources: tuple[str, ...] | UnsetType = UNSET
    output: str | UnsetType = UNSET
    env: dict[str, Word] | UnsetType = UNSET
    uid: int | UnsetType | None = UNSET
    gid: int | UnsetType | None = UNSET
    retry: int | UnsetType = UNSET
    run_timeout: float | UnsetType | None = UNSET
    download_timeout: float | UnsetType | None = UNSET
    priority: int | UnsetType = UNSET
    log_limit: int | UnsetType | None = UNSET
    requires: tuple[int, ...] | UnsetType = UNSET
    cpu: float | UnsetType | None = UNSET
    mem: int | UnsetType | None = UNSET
    gpu: float | UnsetType | None = UNSET
    disk: int | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        if self.command is not UNSET:
            _check_words("command", self.command)
        if self.env is not UNSET:
            _check_words("env", self.env.values())


class Stream(Struct, frozen=True):
    """What was written to stdout or stderr: `total` bytes, of which [0, head) and [tail, total) are kept."""

    total: Count = 0
    head: Count = 0
    tail: Count = 0
    note: str = ""  # why less is kept than the limit allows


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"class_": "class"}):
    """How an attempt ended."""

    status: Literal["succeeded", "failed", "cancelled"]
    class_: Class = ""
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    staging_seconds: Seconds = 0.0
    run_seconds: Seconds = 0.0
    upload_seconds: Seconds = 0.0
    suspended_seconds: Seconds = 0.0
    cpu_seconds: Seconds = 0.0
    peak_memory: Count = 0
    bytes_in: Count = 0
    bytes_out: Count = 0
    versions: dict[str, str] = field(default_factory=dict)  # URI -> etag, size or date of what was used
    stored: tuple[tuple[str, int], ...] = ()  # what was uploaded: relative name, size
    stdout: Stream = Stream()
    stderr: Stream = Stream()
    read_bytes: Count = 0  # from disks, by its processes
    written_bytes: Count = 0
    peak_disk: Count = 0  # bytes in its folder, inputs among them, resources not


class Attempt(Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """One try at a task."""

    task: int
    attempt: int
    epoch: int
    status: str
    worker: str
    assigned_at: float
    started_at: float | None = None
    ended_at: float | None = None
    class_: str = ""
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    staging_seconds: float = 0.0
    run_seconds: float = 0.0
    upload_seconds: float = 0.0
    suspended_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    stored: tuple[tuple[str, int], ...] = ()
    stdout: Stream = Stream()
    stderr: Stream = Stream()
    read_bytes: int = 0
    written_bytes: int = 0
    peak_disk: int = 0


class Task(Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """A task as lists and `show` give it: its state, then its specification."""

    id: int
    name: str
    batch: str
    status: str
    attempt: int
    worker: str
    command: tuple[Word, ...]
    exit_code: int | None
    class_: str
    reason: str
    submitted_at: float
    submitted_by: str
    started_at: float | None
    ended_at: float | None
    container: str
    container_options: str
    inputs: tuple[str, ...]
    resources: tuple[str, ...]
    output: str
    env: dict[str, Word]
    uid: int | None
    gid: int | None
    retry: int
    run_timeout: float | None
    download_timeout: float | None
    priority: int
    log_limit: int | None
    requires: tuple[int, ...]
    cpu: float | None
    mem: int | None
    gpu: float | None
    disk: int | None


class Gpu(Struct, frozen=True):
    """A graphics processor of a worker."""

    name: str
    memory: Count  # bytes


class Worker(Struct, frozen=True, kw_only=True):
    """A machine, or a part of one, enrolled in the mesh."""

    id: str
    name: str
    status: Literal["online", "offline", "lost"]
    paused: bool
    batch: str
    concurrency: int
    prefetch: int
    running: int
    held: int
    succeeded: int
    failed: int
    hostname: str
    cpus: int
    memory: int
    version: str
    joined_at: float
    seen_at: float
    engine: str = ""  # its container engine and the version of that, "" for none
    gpus: tuple[Gpu, ...] = ()
    disk: int = 0  # bytes that its tasks can have, when it joined
    tags: str = ""  # G: it has GPUs


class Resource(Struct, frozen=True, kw_only=True):
    """A resource on a worker: an address with its actions, fetched once for all tasks."""

    uri: str
    status: Literal["here", "coming"]
    size: Count  # bytes on disk
    files: Count = 0
    in_use: Count = 0  # attempts that use it, or wait for it
    version: str = ""  # etag, size or date of its source
    fetched_at: Moment | None = None
    used_at: Moment | None = None


class Batch(Struct, frozen=True, kw_only=True):
    """A batch and how many of its tasks are where."""

    name: str
    stopped: Stop
    workers: int
    waiting: int
    pending: int
    assigned: int
    staging: int
    running: int
    uploading: int
    returning: int
    succeeded: int
    failed: int
    cancelled: int


class Access(Struct, frozen=True, kw_only=True):
    """A key that the broker accepts."""

    name: str
    role: Literal["admin", "user", "worker", "deployer"]
    key: str
    created_at: float
    revoked_at: float | None = None


class Registry(Struct, frozen=True, kw_only=True):
    """A registry of container images that the workers log in to; its password is told to nobody else."""

    registry: str
    user: str
    added_at: float


class Range(Struct, frozen=True, forbid_unknown_fields=True):
    """An arithmetic column of an array: start, start + step, … (`count` comes from the array)."""

    start: int = 0
    step: int = 1


class Array(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`count` tasks of one template: `{name}` in its texts stands for that column's value in each row."""

    template: Spec
    count: int
    columns: dict[str, tuple[Word | int, ...] | Range] = field(default_factory=dict)
