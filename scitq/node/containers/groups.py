"""The control group above a container's own: what the kernel counted in it can be read when the container is over.

A container's own group goes with it. The one above, which the engine makes at our word for this container alone,
stays with all that was counted below it, until it is removed here.
"""

import os
from functools import cache
from typing import NamedTuple

from scitq.node.cgroups import UNIFIED, read


class Counted(NamedTuple):
    """Of a group whose processes are gone: seconds of processor, bytes of memory at its peak, and still now.

    Files that were read or written count as memory until it is needed for something else; they are all that is left.
    """

    cpu: float
    peak: int
    left: int


def counted(group: str, root: str = "") -> Counted | None:
    """What the kernel counted in a group, by version 1 or 2; None where there is no such group."""
    where = mounts(root)
    if "memory" in where and "cpuacct" in where:
        memory = f"{where['memory']}{group}/memory."
        cpu = _number(f"{where['cpuacct']}{group}/cpuacct.usage") / 1e9
        peak, left = f"{memory}max_usage_in_bytes", f"{memory}usage_in_bytes"
    elif UNIFIED in where:
        peak, left = (f"{where[UNIFIED]}{group}/memory.{what}" for what in ("peak", "current"))
        taken = dict(line.split(" ") for line in read(f"{where[UNIFIED]}{group}/cpu.stat").splitlines())
        cpu = int(taken.get("usage_usec", 0)) / 1e6
    else:
        return None
    found = Counted(cpu, _number(peak), _number(left))
    return found if found.cpu else None  # nothing ran in a group without taking any time


def remove(group: str, root: str = "") -> bool:
    """Remove a group and what an engine that died left in it; False where somebody still runs in it."""
    for top in set(mounts(root).values()):
        for here, _, _ in os.walk(f"{top}{group}", topdown=False):
            try:
                os.rmdir(here)
            except FileNotFoundError:
                continue
            except OSError:
                return False
    return True


def left_over(prefix: str, root: str = "") -> set[str]:
    """The groups at the top whose names begin so."""
    return {
        f"/{name}" for top in set(mounts(root).values()) for name in os.listdir(top) if f"/{name}".startswith(prefix)
    }


def are_ours(engine: int, root: str = "") -> bool:
    """Whether what a process, the engine, makes there is seen here under the same name, and may be removed here."""
    if os.geteuid() != 0:
        return False
    try:
        same = os.stat(f"/proc/{engine}/ns/cgroup").st_ino == os.stat("/proc/self/ns/cgroup").st_ino
    except OSError:
        return False
    tops = mounts(root).values()
    return same and bool(tops) and all(os.access(top, os.W_OK) for top in tops)


@cache
def mounts(root: str = "") -> dict[str, str]:
    """Where each controller's groups are, of version 2 all under UNIFIED."""
    found: dict[str, str] = {}
    for line in read(f"{root}/proc/self/mounts").splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found.setdefault(UNIFIED, f"{root}{where}")
        elif kind == "cgroup":
            found |= dict.fromkeys(options.split(","), f"{root}{where}")
    return found


def _number(path: str) -> int:
    return int(read(path) or 0)
