"""Cgroups as a process sees them: where its own are, how to start something in another, what that tells of its end.

A hierarchy is named by its controller in v1, and UNIFIED in v2. Few imports: keepers have it too.
"""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress

UNIFIED = ""
PASSED = "mem"  # the cause of an end: it passed the memory that it had asked for

Cgroups = Iterable[tuple[str, str]]
"""The hierarchy and the folder of each cgroup of an attempt."""


def above(hierarchy: str, root: str = "") -> list[str]:
    """The folders of this process's cgroup and of all above it, the nearest first; none without such a hierarchy.

    In a container the path may name what only the host sees: the top, the container's own, remains.
    """
    for line in read(f"{root}/proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if (number == "0") if hierarchy == UNIFIED else hierarchy in names.split(","):
            top = f"{root}/sys/fs/cgroup"
            if hierarchy != UNIFIED:
                joined = f"{top}/{names}"
                top = joined if os.path.isdir(joined) else f"{top}/{names.split(',')[0]}"
            parts = [part for part in path.split("/") if part]
            return ["/".join([top, *parts[:count]]) for count in range(len(parts), -1, -1)]
    return []


def seen_above(hierarchy: str, root: str = "") -> list[str]:
    """Those of them that are to be seen from here."""
    return [folder for folder in above(hierarchy, root) if os.path.isdir(folder)]


class Cage:
    """Of one process with one thread: what it starts between `up` and `down` is born in the cgroups of an attempt."""

    def __init__(self) -> None:
        self.stuck = False  # it could not come out again
        self._homes: dict[str, int] = {}  # by hierarchy
        self._inside: list[str] = []

    def up(self, cgroups: Cgroups) -> None:
        """Go in; OSError when one of them cannot be entered, and `down` is to be called all the same."""
        for hierarchy, folder in cgroups:
            if hierarchy not in self._homes:
                self._homes[hierarchy] = _open_members(next(iter(seen_above(hierarchy)), ""))
            members = _open_members(folder)
            try:
                os.write(members, b"0")
            finally:
                os.close(members)
            self._inside.append(hierarchy)

    def down(self) -> None:
        """Be at home again."""
        while self._inside:
            try:
                os.write(self._homes[self._inside.pop()], b"0")
            except OSError:
                self.stuck = True


def ran_out(cgroups: Cgroups, *, killed: bool) -> tuple[bool, bool] | None:
    """Whether the kernel killed here for want of memory, and whether for the limit; None where it does not tell.

    `killed`: somebody unknown killed the command, which decides where the kernel is too old to count.
    """
    for hierarchy, folder in cgroups:
        if hierarchy == UNIFIED:
            events = _counts(f"{folder}/memory.events")
            if "oom_kill" in events:
                return events["oom_kill"] > 0, events.get("oom", 0) > 0
        elif hierarchy == "memory":
            met = _has_met_its_limit(folder)
            kills = _counts(f"{folder}/memory.oom_control").get("oom_kill", killed and met)
            return kills > 0, met
    return None


def kill_members(folder: str) -> None:
    """SIGKILL all whose cgroup this is, as far as they are seen from here."""
    for pid in map(int, read(f"{folder}/cgroup.procs").split()):
        if pid:  # 0 is whom another namespace of pids hides from us, and to `kill` it means ourselves
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def read(path: str) -> str:
    """The text of a small file, "" where there is none to be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _open_members(folder: str) -> int:
    return os.open(f"{folder}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)


def _has_met_its_limit(folder: str) -> bool:
    """Whether a cgroup of v1 was as good as full, swap among it or not: newer kernels count no failures."""
    limit = int(read(f"{folder}/memory.limit_in_bytes") or 0)
    most = max(int(read(f"{folder}/memory.{what}max_usage_in_bytes") or 0) for what in ("", "memsw."))
    return most >= limit - limit // 16


def _counts(path: str) -> dict[str, int]:
    """A file of lines of a name and a number."""
    return {name: int(count) for name, _, count in (line.partition(" ") for line in read(path).splitlines())}
