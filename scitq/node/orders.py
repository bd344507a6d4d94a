"""What the agent orders from its keepers and what they tell it: plain data.

An attempt is known here by its `name`, the name of its folder: `<task>.<attempt>`, with the epoch's mark from the
second epoch on. Keepers only compare names and make file names of them. Bytes are bytes: nothing is decoded.
"""

from typing import Any, Literal

from msgspec import Struct

from scitq.model import Class


class Order(Struct, frozen=True, kw_only=True):
    """One command to start, complete: a keeper looks nothing up but the program itself.

    `env` is the whole environment of the task (`SCITQ_ATTEMPT` is added to it). `folder` exists. `timeout` is in
    seconds of running, suspended time not counted. `head` and `tail` bound each of stdout and stderr, in bytes:
    `head` None keeps everything. `only_read`: folders that it cannot write to, where mounts are allowed. `cgroups`:
    hierarchy and folder of each one that it is born in. `spec` comes back untouched after a restart of the agent.
    """

    name: str
    argv: list[bytes]
    env: dict[bytes, bytes]
    folder: bytes
    uid: int | None = None
    gid: int | None = None
    umask: int = 0o022
    timeout: float | None = None
    head: int | None = None
    tail: int = 0
    only_read: tuple[bytes, ...] = ()
    cgroups: tuple[tuple[str, str], ...] = ()
    spec: bytes = b""


class ContainerOrder(Struct, frozen=True, kw_only=True):
    """One container to make and start, complete but for whose it is.

    `options` are the words of `-O`, not yet split. `folder` holds the parts that are mounted; `data` is mounted too,
    unless "". `user` is docker's `--user`, "" for the image's own. `cpu` in cores and `mem` in bytes are what it may
    have at most, 0 for no limit; `devices` the names of its GPUs, or files. `timeout`, `head`, `tail`, `spec` as in
    `Order`.
    """

    name: str
    image: str
    options: str
    command: list[str]
    env: dict[str, str]
    folder: str
    data: str = ""
    user: str = ""
    cpu: float = 0.0
    mem: int = 0
    devices: tuple[str, ...] = ()
    timeout: float | None = None
    head: int | None = None
    tail: int = 0
    spec: bytes = b""


class Kept(Struct, frozen=True):
    """What is left of one stream at the end; read it by `spill.read_kept`.

    `total` bytes were written; `[0, head)` and `[tail_start, total)` are kept. `inline` holds the head when nothing
    of this stream went to disk, else None. `ring` is the size of the tail's ring file. `note` says why less than the
    limit was kept (disk full), else "".
    """

    total: int
    head: int
    tail_start: int
    ring: int
    inline: bytes | None
    note: str


class Started(Struct, frozen=True):
    """The command runs: `pid`, and its start as wall time (UTC seconds) and between two clock ticks since boot."""

    name: str
    pid: int
    wall: float
    ticks: tuple[int, int]


class Output(Struct, frozen=True):
    """So many bytes of stdout and stderr now lie in the head files; at most about every 0.1 s."""

    name: str
    out: int
    err: int


class LiveOutput(Struct, frozen=True):
    """Bytes past the head, for whoever follows, unstored; `offset` tells of gaps."""

    name: str
    stream: Literal["out", "err"]
    offset: int
    data: bytes


class Ended(Struct, frozen=True):
    """The command is over and nothing of it is left running; repeated until acknowledged.

    (Once more even after that, when its keeper dies before it cut its records: acknowledge it again.)

    Exactly one of `code`, `signal`, `problem` tells how: `problem` is the reason why it never started. `cause` is
    what was given with a kill or terminate order, "timeout" or PASSED; a command may have ended by itself all
    the same.
    `wall` times are UTC; `seconds` ran by monotonic clock without `suspended`; `max_rss` is None when it was below
    what the keeper itself holds (the kernel cannot tell less). `read_bytes` came from disks, `written_bytes` went
    into files of disks.
    """

    name: str
    code: int | None
    signal: int | None
    problem: str | None
    oom: bool
    cause: str | None
    wall_start: float
    wall_end: float
    seconds: float
    suspended: float
    cpu: float
    max_rss: int | None
    out: Kept
    err: Kept
    read_bytes: int = 0
    written_bytes: int = 0


class Returned(Struct, frozen=True):
    """The order did not start and never will: taken back or killed while queued, or its keeper died before it."""

    name: str


class AlreadyStarted(Struct, frozen=True):
    """The answer to a take back that came too late."""

    name: str


class Refused(Struct, frozen=True):
    """The order was not accepted: the attempt is known already, nothing can be recorded (disk full), no image."""

    name: str
    reason: str
    class_: Class = "lost"


class Lost(Struct, frozen=True):
    """Started, or perhaps started, under a keeper or an engine that is gone; what was left of it was killed.

    `remains` says what could not be ended, else "". Repeated (by `adopt`) until acknowledged.
    """

    name: str
    wall_start: float
    remains: str
    reason: str = "its keeper was killed while it ran, or the machine was restarted"


Event = Started | Output | LiveOutput | Ended | Returned | AlreadyStarted | Refused | Lost


class Held(Struct, frozen=True, kw_only=True):
    """One attempt found after a restart of the agent; `spec` is what its order carried.

    queued: in a keeper's queue, it will start by itself. running: `started` tells since when, `out` and `err` count
    the bytes in the head files. ended, lost: `end` tells; acknowledge it.
    """

    name: str
    spec: bytes
    state: Literal["queued", "running", "ended", "lost"]
    started: Started | None = None
    suspended: bool = False
    out: int = 0
    err: int = 0
    end: Ended | Lost | None = None


def ended(record: list[Any]) -> Ended:
    """The end record of a keeper, as the agent sees it; one of before has less at its end."""
    fields: tuple[Any, ...] = (*record[1:13], Kept(*record[13]), Kept(*record[14]), *record[15:])
    return Ended(*fields)
