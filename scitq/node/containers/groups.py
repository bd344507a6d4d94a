"""The control group above a container's own: what the kernel counted in it can be read when the container is over.

A container's own group goes with it. The one above, which the engine makes at our word for this container alone,
stays with all that was counted below it, until it is removed here.
"""

import os
import time
from functools import cache
from typing import NamedTuple

from scitq.node.cgroups import UNIFIED, kill_members, read

LEAVING_SECONDS = (0.01, 0.1, 1.0)  # between looks whether the engine's own last process has left the control group


class Counted(NamedTuple):
    """Of a group: seconds of processor, bytes of memory at its peak, and those that hold files now.

    Files that were read or written count as memory until it is needed for something else. When the command is over
    they are all that is left of it; somebody of the engine may still be in there.
    """

    cpu: float
    peak: int
    files: int


def counted(group: str, root: str = "") -> Counted | None:
    """What the kernel counted in a group, by version 1 or 2; None where there is no such group."""
    where = mounts(root)
    if "memory" in where and "cpuacct" in where:
        memory = f"{where['memory']}{group}"
        cpu = int(read(f"{where['cpuacct']}{group}/cpuacct.usage") or 0) / 1e9
        peak, files = read(f"{memory}/memory.max_usage_in_bytes"), "total_cache"
    elif UNIFIED in where:
        memory = f"{where[UNIFIED]}{group}"
        cpu = _field(f"{memory}/cpu.stat", "usage_usec") / 1e6
        peak, files = read(f"{memory}/memory.peak"), "file"
    else:
        return None
    if not cpu:  # nothing runs without taking any time
        return None
    return Counted(cpu, int(peak or 0), _field(f"{memory}/memory.stat", files))


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


def clear(group: str, root: str = "") -> None:
    """Remove the group of a container that is gone: who does not leave it by himself is killed.

    Such as the start of a container, which an engine that is killed meanwhile leaves waiting for ever.
    """
    for insist in (False, True):
        if insist:
            _kill(group, root)
        for pause in LEAVING_SECONDS:
            if remove(group, root):
                return
            time.sleep(pause)


def _kill(group: str, root: str) -> None:
    for top in set(mounts(root).values()):
        for here, _, _ in os.walk(f"{top}{group}"):
            kill_members(here)


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


def _field(path: str, name: str) -> int:
    fields = dict(line.split() for line in read(path).splitlines())
    return int(fields.get(name, 0))
