"""What a container used: what its control group counted, and what whoever waited for it was told.

The engine has a process of its own wait for each container (docker's shim, podman's conmon). To it the kernel adds
up the processor time and the io of all in the container when that ends, as for any parent; it is there for some
moments longer.
"""

import os
import time
from typing import NamedTuple

from scitq.node import sampler
from scitq.node.containers import groups
from scitq.node.sampler import Use

WAITERS = ("containerd-shim", "conmon")
_REAPED_MS = 20  # that the first process may take to be waited for when all have closed their output


class _Totals(NamedTuple):
    """What a process had and whom it waited for: clock ticks, bytes; `start` tells that it is still the same one."""

    start: int
    ticks: int
    read: int
    written: int


class Meter:
    """One container: `begin` when it runs, `note` as soon as its output has ended, `used` when it is over."""

    def __init__(self, group: str) -> None:
        """`group`: the control group above its own."""
        self._group = group
        self._pid = 0
        self._waiter = 0
        self._before: _Totals | None = None
        self._after: _Totals | None = None

    def begin(self, pid: int) -> None:
        """Its first process has this number."""
        first = sampler.process(pid)
        waiter = sampler.process(first.parent) if first else None
        if waiter and waiter.name.startswith(WAITERS):
            self._pid, self._waiter = pid, waiter.pid
            self._before, self._after = _totals(waiter.pid), None

    def note(self) -> None:
        """Ask whoever waits for it, while that is still there."""
        if self._before is None:
            return
        for _ in range(_REAPED_MS):
            if not os.path.exists(f"/proc/{self._pid}"):
                break
            time.sleep(0.001)
        now = _totals(self._waiter)
        if now and now.start == self._before.start:
            self._after = now

    def met(self, limit: int) -> bool:
        """Whether it had as good as all the memory that it may have at most, 0 for no limit."""
        counted = groups.counted(self._group)
        return counted is not None and 0 < limit <= counted.peak + limit // 16

    def used(self, *, oom: bool) -> Use:
        """All that is known of it; `oom`: it was ended at its limit of memory.

        The kernel counts files too as memory of who read or wrote them. What they can have had of the peak at most is
        taken off: what is left the container had at least.
        """
        used = Use()
        if self._before and self._after:
            _, ticks, read, written = (now - then for now, then in zip(self._after, self._before, strict=True))
            used = Use(cpu=ticks / os.sysconf("SC_CLK_TCK"), read_bytes=read, written_bytes=written)
        counted = groups.counted(self._group)
        if counted is None:
            return used
        files = 0 if oom else max(counted.files, used.read_bytes + used.written_bytes)
        return used._replace(cpu=counted.cpu, memory=max(0, counted.peak - files))


def _totals(pid: int) -> _Totals | None:
    process = sampler.process(pid)
    return None if process is None else _Totals(process.start, process.cpu, *sampler.io(pid))
