"""One attempt as the agent holds it, and the part of it that waits in a keeper's records for the next agent."""

from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw, Struct, field

from scitq.needs import needs_of
from scitq.node.cgroups import UNIFIED
from scitq.node.lifecycle import Phase
from scitq.node.sampler import Use
from scitq.wire import End, Ref, unpack_spec

if TYPE_CHECKING:
    import threading

    from scitq.model import Class, Spec
    from scitq.node import orders


class Staged(Struct, frozen=True, array_like=True):
    """What staging brought: how long it took, bytes read, URI -> version."""

    seconds: float = 0.0
    bytes_in: int = 0
    versions: dict[str, str] = field(default_factory=dict)


class Uploaded(Struct, frozen=True, array_like=True):
    """What uploading stored, or in `problem` why it could not."""

    seconds: float = 0.0
    bytes_out: int = 0
    stored: tuple[tuple[str, int], ...] = ()
    problem: str = ""


class Given(Struct, frozen=True, array_like=True):
    """What it has beside its slot that its specification does not tell: numbers of GPUs, its cgroups."""

    gpus: tuple[int, ...] = ()
    cgroups: tuple[tuple[str, str], ...] = ()


class Carried(Struct, frozen=True, array_like=True):
    """What a keeper's records carry for the next agent: `orders.Order.spec`."""

    ref: Ref
    spec: Raw
    staged: Staged = Staged()
    given: Given = Given()


class Saved(Struct, frozen=True, array_like=True):
    """An end that no keeper's record tells, as it lies in the outbox."""

    carried: Carried
    end: End


class Job:
    """One attempt. `phase` moves by `lifecycle.step` alone; the rest is what the instructions need."""

    __slots__ = (
        "awaits",
        "ended",
        "given",
        "halted",
        "image_user",
        "name",
        "needs",
        "packed",
        "phase",
        "place",
        "problem",
        "ref",
        "spec",
        "spoiled",
        "staged",
        "started_at",
        "status",
        "stop",
        "suspended",
        "untouched",
        "uploaded",
        "used",
    )

    def __init__(self, ref: Ref, packed: bytes, phase: Phase = "ready") -> None:
        """`packed` is the specification as it came; BadMessage when it is none."""
        self.ref = ref
        self.name = name_of(ref)
        self.packed = packed
        self.spec: Spec = unpack_spec(packed)
        self.needs = needs_of(self.spec)
        self.phase: Phase = phase
        self.place = 0  # first come, first served
        self.staged = Staged()
        self.given = Given()
        self.awaits = 0  # how many things its staging still waits for: its folder, its image
        self.image_user = ""  # whom its image names
        self.started_at: float | None = None
        self.suspended = False
        self.halted = ""  # "kill" or "terminate" once the broker ordered its end
        self.problem: tuple[Class, str] | None = None  # class and reason of an end before any start
        self.ended: orders.Ended | orders.Lost | None = None
        self.used = Use()
        self.untouched = False  # its command, which is over, left its folder as it was made
        self.uploaded = Uploaded()
        self.spoiled: tuple[str, ...] = ()  # resources that were changed while it ran
        self.status = ""  # of its outcome
        self.stop: threading.Event | None = None  # ends its staging or uploading

    @property
    def stages(self) -> bool:
        """Whether something is to be brought before it can start."""
        spec = self.spec
        return bool(spec.inputs or spec.resources or spec.container or spec.disk)

    @property
    def is_watched(self) -> bool:
        """Whether nobody but the agent keeps it from more memory than it asked for."""
        if not self.needs.mem or self.needs.container:
            return False
        return all(hierarchy not in (UNIFIED, "memory") for hierarchy, _ in self.given.cgroups)

    @property
    def carried(self) -> Carried:
        """What of it is to outlive this agent."""
        return Carried(self.ref, Raw(self.packed), self.staged, self.given)


def adopted(carried: Carried) -> Job:
    """The job of an order that an earlier agent gave."""
    job = Job(carried.ref, bytes(carried.spec))
    job.staged = carried.staged
    job.given = carried.given
    return job


def unpack_carried(packed: bytes) -> Carried:
    """What an order took along; raises msgspec.DecodeError."""
    return _carried.decode(packed)


def unpack_saved(packed: bytes) -> Saved:
    """A saved end; raises msgspec.DecodeError."""
    return _saved.decode(packed)


def name_of(ref: Ref) -> str:
    """The name of an attempt's folder and files: `<task>.<attempt>`, with its epoch from the second on."""
    if ref.epoch > 1:
        return f"{ref.task}.{ref.attempt}.{ref.epoch}"
    return f"{ref.task}.{ref.attempt}"


_carried: msgspec.msgpack.Decoder[Carried] = msgspec.msgpack.Decoder(Carried)
_saved: msgspec.msgpack.Decoder[Saved] = msgspec.msgpack.Decoder(Saved)
