"""Find and kill what an attempt left behind when its keeper died with it.

Three traces, any of which is enough: its main process by pid and start time, its process group in the keeper's
session, and `SCITQ_ATTEMPT` in the environment. Whatever descends from a process so found belongs to it too. A
process that dropped all three (another session and a cleaned environment) escapes.
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from scitq.node.offspring import descendants

_PATIENCE = 2.0  # seconds for the killed to disappear: more only when they hang in the kernel


@dataclass(frozen=True)
class Traces:
    """What the records tell: `pid` 0 when only `begin` was recorded; `ticks` bound the start of `pid`."""

    mark: bytes
    boot: str
    session: int
    pid: int = 0
    ticks: tuple[int, int] = (0, 0)


def boot_id() -> str:
    """This boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def find(traces: Traces) -> list[int]:
    """Pids of the living (no zombies) that the attempt left; none after a reboot."""
    if traces.boot != boot_id():
        return []
    found: set[int] = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid() and _belongs(int(entry), traces):
            found.add(int(entry))
    for pid in list(found):
        found.update(descendants(pid))
    found.discard(os.getpid())
    return sorted(found)


def kill(traces: Traces) -> str:
    """Kill them, until none is found; returns "" or which cannot be ended."""
    deadline = time.monotonic() + _PATIENCE
    while found := find(traces):
        for pid in found:
            _kill(pid)
        if time.monotonic() > deadline:
            return "cannot be killed: " + " ".join(map(str, found))
        time.sleep(0.005)
    return ""


def _belongs(pid: int, traces: Traces) -> bool:
    try:
        fields = _stat(pid)
        state, group, session, start = fields[0], int(fields[2]), int(fields[3]), int(fields[19])
        if state in {b"Z", b"X"}:
            return False
        if traces.pid and pid == traces.pid and traces.ticks[0] <= start <= traces.ticks[1]:
            return True
        if traces.pid and group == traces.pid and session == traces.session and start >= traces.ticks[0]:
            return True
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except (OSError, ValueError, IndexError):  # gone meanwhile, or not ours to see
        return False
    return b"SCITQ_ATTEMPT=" + traces.mark in environ.split(b"\0")


def _stat(pid: int) -> list[bytes]:
    """The fields after the name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return
