"""What this worker has for its attempts beside slots, and who has it. Pure.

Only who asks for more than a slot stands in the books. Who asks for no cpus counts as those of a slot, so that none
is promised twice; who asks for no memory and no GPU counts as nothing of those.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scitq.needs import Needs
from scitq.node.gpus import Assignments, Device
from scitq.node.progress import amount

_EXACT = 1e-6  # cores: three thirds are a whole


class Share(NamedTuple):
    """What an attempt is given: `cpus` and bytes of `mem` that it is told of, and what it may have at most.

    `cpu_limit` in cores, `mem_limit` in bytes, 0 for none; `gpus` are its own, or shared with who shares.
    """

    cpus: int
    mem: int
    cpu_limit: float = 0.0
    mem_limit: int = 0
    gpus: tuple[Device, ...] = ()


class Means:
    """The books of one worker. Slots are counted by whoever asks: `slots` is how many there are."""

    def __init__(self, cpus: int, memory: int, gpus: Sequence[Device]) -> None:
        """`memory` in bytes; `gpus` may be filled later."""
        self._cpus = cpus
        self._memory = memory
        self._devices = gpus
        self._gpus = Assignments(gpus)
        self._books: dict[str, Needs] = {}

    @property
    def untouched(self) -> bool:
        """Whether nobody who runs has asked for more than a slot."""
        return not self._books

    def fits(self, needs: Needs, slots: int, running: int) -> bool:
        """Whether this is free now; `running`: how many attempts run, those in the books among them."""
        if not self._books and not needs.asks:
            return True
        slot = self._cpus / slots
        cpus = sum(one.cpu or slot for one in self._books.values()) + slot * (running - len(self._books))
        memory = sum(one.mem for one in self._books.values())
        return (
            cpus + (needs.cpu or slot) <= self._cpus + _EXACT
            and memory + needs.mem <= self._memory
            and (not needs.gpu or self._gpus.fits(needs.gpu))
        )

    def take(self, name: str, needs: Needs, slots: int) -> Share:
        """Give an attempt what fits."""
        share = Share(max(1, self._cpus // slots), self._memory // slots)
        if not needs.asks:
            return share
        self._books[name] = needs
        return Share(
            cpus=max(1, int(needs.cpu)) if needs.cpu else share.cpus,
            mem=needs.mem or share.mem,
            cpu_limit=needs.cpu,
            mem_limit=needs.mem,
            gpus=self._gpus.take(name, needs.gpu) if needs.gpu else (),
        )

    def hold(self, name: str, needs: Needs, gpus: Iterable[int]) -> None:
        """An attempt has this since before the agent started, whether or not it would be given it now."""
        if needs.asks:
            self._books[name] = needs
            self._gpus.hold(name, needs.gpu, gpus)

    def give_back(self, name: str) -> None:
        """What an attempt had, if anything, is free again."""
        if self._books.pop(name, None) is not None:
            self._gpus.give_back(name)

    def why_never(self, needs: Needs) -> str:
        """One line for what does not even fit when nothing runs."""
        asked = [f"--cpu {needs.cpu:g}"] if needs.cpu else []
        asked += [f"--mem {amount(needs.mem)}"] if needs.mem else []
        asked += [f"--gpu {needs.gpu:g}"] if needs.gpu > 0 else ["all GPUs"] if needs.gpu else []
        has = f"{self._cpus} cpus, {amount(self._memory)} of memory, {len(self._devices)} GPUs"
        return f"it asks for {' '.join(asked)}, and this worker has {has}"
