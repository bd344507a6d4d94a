"""What this machine is: the figures that a worker gives of itself when it joins."""

import os
import socket
from pathlib import Path

from msgspec import Struct

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
        boot=_text(root / "proc/sys/kernel/random/boot_id"),
    )


def _quota(root: Path) -> int:
    """Whole cpus that the tightest quota on the way up leaves, at least one."""
    least = float(_NO_LIMIT)
    for folder in _folders(root, ""):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit():
            least = min(least, int(quota) / int(period))
    for folder in _folders(root, "cpu"):
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit():  # no limit is -1
            least = min(least, int(quota) / int(period))
    return max(1, int(least))


def _memory_limit(root: Path) -> int:
    files = [folder / "memory.max" for folder in _folders(root, "")]
    files += [folder / "memory.limit_in_bytes" for folder in _folders(root, "memory")]
    return min((int(text) for text in map(_text, files) if text.isdigit()), default=_NO_LIMIT)


def _folders(root: Path, controller: str) -> list[Path]:
    """This process's cgroup and all above it, of the unified hierarchy (`""`) or of a v1 controller.

    In a container the path may name what only the host sees: the top, the container's own, remains.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if (number == "0") if not controller else controller in names.split(","):
            top = root / "sys/fs/cgroup" / names.split(",")[0] if controller else root / "sys/fs/cgroup"
            if controller and (joined := root / "sys/fs/cgroup" / names).is_dir():
                top = joined
            here = top / path.lstrip("/")
            return [folder for folder in (here, *here.parents) if folder.is_relative_to(top)]
    return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
