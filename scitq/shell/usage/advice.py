"""What to ask next time, from what was used: the rule, pure.

- `--cpu`: the cores of the 95th of 100 attempts, as a mean over its run, rounded up; what a tenth of a core is over
  does not count.
- `--mem`: the most that was used, or that an attempt had which ended for want of it, and a fifth more.
- `--disk`: the most that was used, and a fifth more; nothing where that is too little to be worth a request.
- `--gpu`: what all asked for, as it is: the use of GPUs is not measured.

Sizes are rounded up to two digits (1.4G, 78G, 130G).
"""

import math
from typing import NamedTuple

from scitq.model import MIB

FEW = 3  # attempts; from less a suggestion is not made without a word
LEAST_MEM = 64 * MIB  # a limit counts what the kernel keeps for the processes too: page tables, buffers
LEAST_DISK = 100 * MIB  # a worker keeps more than that free anyway
_OVER = 0.1  # of a core
_UNITS = (("M", MIB), ("G", MIB << 10), ("T", MIB << 20))


class Used(NamedTuple):
    """What the rule looks at: cores, bytes, bytes, bytes, GPUs; None or 0 for what is not known, or was not asked.

    `wanting`: the most that an attempt had, of those that ended for want of memory.
    """

    cores: float | None = None
    memory: int = 0
    wanting: int = 0
    disk: int = 0
    gpu: float = 0.0


def options(used: Used) -> dict[str, str]:
    """The values of the options to give next time, each as a command line takes it."""
    memory, disk = _a_fifth_more(max(used.memory, used.wanting)), _a_fifth_more(used.disk)
    found = {
        "cpu": str(max(1, math.ceil(round(used.cores - _OVER, 6)))) if used.cores is not None else "",
        "mem": readable(max(memory, LEAST_MEM)) if memory else "",
        "gpu": f"{used.gpu:g}" if used.gpu else "",
        "disk": readable(disk) if disk >= LEAST_DISK else "",
    }
    return {name: value for name, value in found.items() if value}


def readable(count: int) -> str:
    """A number of bytes rounded up to two digits, or to one of its unit."""
    letter, unit = next((each for each in _UNITS if count <= 990 * each[1]), _UNITS[-1])
    tenths = max(10, -(-10 * count // unit))
    if tenths <= 100:
        return f"{tenths / 10:g}{letter}"
    step = 10 if count > 100 * unit else 1
    return f"{-(-count // (unit * step)) * step}{letter}"


def _a_fifth_more(count: int) -> int:
    return count * 6 // 5
