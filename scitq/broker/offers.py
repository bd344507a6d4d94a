"""What is left of a worker: what it has, less what its tasks ask beside their slots. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from scitq.broker.state import WorkerState
from scitq.needs import ALL_GPUS, Needs

EXACT = 1e-6  # of cores and GPUs: three thirds are a whole

Rank = tuple[bool, float, int]


class Shortfall(NamedTuple):
    """Something that is asked and not free: `what` is a field of Needs, the numbers are in its unit."""

    what: str
    asked: float
    free: float
    has: float  # the worker, when it runs nothing

    @property
    def lack(self) -> float:
        """How much is missing, as a part of what the worker has."""
        return (self.asked - self.free) / self.has


class Offer:
    """One worker while a round goes on; below zero: it holds, or is kept for, more than it can run at once."""

    __slots__ = ("cpu", "disk", "gpus", "kept", "mem", "order", "rank", "room", "shared", "slot", "slots", "worker")

    def __init__(self, worker: WorkerState, order: int = 0) -> None:
        """`order` decides between workers that are equally full."""
        self.worker = worker
        self.order = order
        self.kept = 0  # the task that it is kept for
        self.room = worker.room
        self.slots = worker.concurrency - worker.busy
        self.slot = worker.cpus / worker.concurrency  # the cpus of who asks for none
        self.cpu = worker.cpus - self.slot * (len(worker.held) - len(worker.storing) - len(worker.claims))
        self.mem = worker.memory
        self.disk = worker.disk
        self.gpus = len(worker.gpus)  # that nobody has
        self.shared: list[float] = []  # what is left of each that some share
        for needs in worker.claims.values():
            self._take(needs)
        if self.slots > 0 and self.overdrawn:  # something waits there: what came now would begin after it
            self.room = 0
        self.rank = self._rank()

    def _rank(self) -> Rank:
        return self.slots <= 0, -self.slots / self.worker.concurrency, self.order

    def _take(self, needs: Needs) -> None:
        self.cpu -= needs.cpu or self.slot
        self.mem -= needs.mem
        self.disk -= needs.disk
        if needs.gpu:
            self._take_gpus(needs.gpu)

    def _take_gpus(self, gpu: float) -> None:
        if gpu == ALL_GPUS:
            self.gpus -= len(self.worker.gpus)
        elif gpu >= 1:
            self.gpus -= int(gpu)
        else:
            place = next((place for place, left in enumerate(self.shared) if gpu <= left + EXACT), None)
            if place is None:
                self.gpus -= 1
                self.shared.append(1 - gpu)
            else:
                self.shared[place] -= gpu

    def give(self, needs: Needs) -> None:
        """Count a task that is handed over."""
        self._take(needs)
        self.slots -= 1
        self.room -= 1
        self.rank = self._rank()

    def keep(self, task: int, needs: Needs) -> None:
        """Leave to what comes later only what this task does not need, and nothing beyond the slots."""
        self.kept = task
        self._take(needs)
        self.slots -= 1
        self.room = self.slots
        self.rank = self._rank()

    def fits(self, needs: Needs) -> bool:
        """Whether a task that needs this may be handed over: it could begin now, or it comes after all slots."""
        if self.slots <= 0:
            return self.worker.could(needs)
        return (
            (needs.cpu or self.slot) <= self.cpu + EXACT
            and (not needs.mem or needs.mem <= self.mem)
            and (not needs.disk or needs.disk <= self.disk)
            and (not needs.gpu or self._free_gpus(needs.gpu) + EXACT >= self._gpus(needs.gpu))
            and (not needs.container or bool(self.worker.engine))
        )

    def begins(self, needs: Needs) -> bool:
        """Whether a task that needs this could be handed over to begin now."""
        return self.slots > 0 and self.room > 0 and self.fits(needs)

    def _gpus(self, gpu: float) -> float:
        return max(len(self.worker.gpus), 1) if gpu == ALL_GPUS else gpu

    def _free_gpus(self, gpu: float) -> float:
        """How many a task could have of those it may have: of the shared ones no more than is left of one.

        Below zero somebody waits for GPUs, for the shared ones too: nobody joins there.
        """
        return max(self.shared, default=0) if self.gpus == 0 and 0 < gpu < 1 else self.gpus

    def most(self) -> tuple[float, float, float, float]:
        """The largest cpu, mem, gpu and disk, each by itself, of a task that would fit."""
        if self.slots <= 0:
            worker = self.worker
            return worker.cpus, worker.memory, len(worker.gpus), worker.disk
        return self.cpu, self.mem, self._free_gpus(EXACT), self.disk

    def shortfalls(self, needs: Needs) -> Iterator[Shortfall]:
        """What is not free of what is asked, of a worker that has it."""
        worker = self.worker
        cpu = needs.cpu or self.slot
        if cpu > self.cpu + EXACT:
            yield Shortfall("cpu", cpu, self.cpu, worker.cpus)
        if needs.mem and needs.mem > self.mem:
            yield Shortfall("mem", needs.mem, self.mem, worker.memory)
        if needs.gpu and (asked := self._gpus(needs.gpu)) > (free := self._free_gpus(needs.gpu)) + EXACT:
            yield Shortfall("gpu", asked, free, len(worker.gpus))
        if needs.disk and needs.disk > self.disk:
            yield Shortfall("disk", needs.disk, self.disk, worker.disk)

    @property
    def overdrawn(self) -> bool:
        """Whether it holds more than it can run at once, whatever its slots."""
        return self.cpu < -EXACT or self.mem < 0 or self.disk < 0 or self.gpus < 0
