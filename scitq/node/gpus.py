"""The GPUs of this worker: what tells them apart, how they are named to whoever uses them, who has which. Pure.

They are assigned one by one: a whole one is nobody else's, and who shares one has asked for a share.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from scitq.needs import ALL_GPUS

EXACT = 1e-9  # 0.1 ten times is a whole one
KFD = "/dev/kfd"  # what all AMD GPUs are spoken to through
CDI = "nvidia.com/gpu="


class Device(NamedTuple):
    """One GPU.

    `number` is unlike that of any other of this worker, and for NVIDIA the one that nvidia-smi gives it. `id` is its
    UUID, or for AMD what ROCR_VISIBLE_DEVICES takes. `memory` in bytes, 0 where it is the machine's own. `path`: for
    AMD the file of it that a container needs.
    """

    number: int
    id: str
    name: str
    memory: int
    maker: Literal["nvidia", "amd"]
    path: str = ""


def variables(devices: Iterable[Device]) -> dict[str, str]:
    """What tells a command without a container which GPUs are its own.

    CUDA is given numbers, which every program takes, in the order of nvidia-smi and not of CUDA, the fastest first.
    For AMD there is one variable: HIP_VISIBLE_DEVICES counts within what that one leaves, and would hide it all.
    """
    nvidia, amd = _by_maker(devices)
    found = {}
    if nvidia:
        found["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        found["CUDA_VISIBLE_DEVICES"] = ",".join(str(one.number) for one in nvidia)
        found["NVIDIA_VISIBLE_DEVICES"] = ",".join(one.id for one in nvidia)
    if amd:
        found["ROCR_VISIBLE_DEVICES"] = ",".join(one.id for one in amd)
    return found


def container_names(devices: Iterable[Device]) -> list[str]:
    """The names of GPUs for a container: as the container device interface has them, or their files."""
    nvidia, amd = _by_maker(devices)
    return [*(CDI + one.id for one in nvidia), *([KFD] if amd else []), *(one.path for one in amd)]


def _by_maker(devices: Iterable[Device]) -> tuple[list[Device], list[Device]]:
    known = list(devices)
    return [one for one in known if one.maker == "nvidia"], [one for one in known if one.maker == "amd"]


class Assignments:
    """Who has which GPU. `gpu` is a whole number of them, a share of one below 1, or ALL_GPUS."""

    def __init__(self, devices: Sequence[Device]) -> None:
        """`devices` may be filled later: a driver may take its time."""
        self._devices = devices
        self._had: dict[str, tuple[tuple[int, ...], float]] = {}  # numbers, and how much of each

    def fits(self, gpu: float) -> bool:
        """Whether so much is free now."""
        return self._choice(gpu) is not None

    def take(self, name: str, gpu: float) -> tuple[Device, ...]:
        """Give an attempt what fits."""
        given = self._choice(gpu)
        assert given is not None, f"{name} is given {gpu:g} GPUs that are not free"
        self.hold(name, gpu, [one.number for one in given])
        return given

    def hold(self, name: str, gpu: float, numbers: Iterable[int]) -> None:
        """An attempt has these, as it had before a restart, whether or not they are known by now."""
        self._had[name] = (tuple(numbers), gpu if 0 < gpu < 1 else math.inf)

    def give_back(self, name: str) -> None:
        """What the attempt had, if anything, is free again."""
        self._had.pop(name, None)

    def _choice(self, gpu: float) -> tuple[Device, ...] | None:
        """What to give, None when it is not free: of shared ones the fullest, of free ones the first."""
        used: dict[int, float] = {}
        for numbers, share in self._had.values():
            for number in numbers:
                used[number] = used.get(number, 0.0) + share
        free = tuple(one for one in self._devices if one.number not in used)
        if gpu == ALL_GPUS:
            return free if free and len(free) == len(self._devices) else None
        if 0 < gpu < 1:
            shared = [one for one in self._devices if 0 < used.get(one.number, 0.0) <= 1 + EXACT - gpu]
            if shared:
                return (max(shared, key=lambda one: (round(used[one.number], 9), -one.number)),)
            gpu = 1
        return free[: int(gpu)] if gpu <= len(free) else None
