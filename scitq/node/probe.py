"""What this machine is: the figures that a worker gives of itself when it joins."""

import os
import socket
from pathlib import Path

from msgspec import Struct

from scitq.node.cgroups import UNIFIED, above, read

_NO_LIMIT = 1 << 60  # cgroup v1 writes a page-rounded 2^63 - 1 where there is no limit


class Machine(Struct, frozen=True, kw_only=True):
    """A machine, or what its cgroup leaves of it: whole cpus, bytes of memory, the id of this boot."""

    hostname: str
    cpus: int
    memory: int
    boot: str


def probe(root: Path = Path("/")) -> Machine:
    """Look at the machine whose `/proc` and `/sys` lie below `root`."""
    return Machine(
        hostname=socket.gethostname(),
        cpus=min(len(os.sched_getaffinity(0)), _quota(root)),
        memory=min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), _memory_limit(root)),
        boot=read(f"{root}/proc/sys/kernel/random/boot_id"),
    )


def _quota(root: Path) -> int:
    """Whole cpus that the tightest quota on the way up leaves, at least one."""
    least = float(_NO_LIMIT)
    for folder in above(UNIFIED, str(root)):
        quota, _, period = read(f"{folder}/cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit():
            least = min(least, int(quota) / int(period))
    for folder in above("cpu", str(root)):
        quota, period = read(f"{folder}/cpu.cfs_quota_us"), read(f"{folder}/cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit():  # no limit is -1
            least = min(least, int(quota) / int(period))
    return max(1, int(least))


def _memory_limit(root: Path) -> int:
    files = [f"{folder}/memory.max" for folder in above(UNIFIED, str(root))]
    files += [f"{folder}/memory.limit_in_bytes" for folder in above("memory", str(root))]
    return min((int(text) for text in map(read, files) if text.isdigit()), default=_NO_LIMIT)
