"""What the kernel does when memory runs out: whom it should take first, and how often it took somebody."""

import contextlib
import math
import os
import time

_RAISE = 500


class OomKills:
    """How many processes the kernel has killed for want of memory since boot; one read serves a second."""

    def __init__(self) -> None:
        self._read_at = -math.inf
        self._count = 0

    def count(self, older: float = 1.0) -> int:
        """The count, at most `older` seconds old."""
        now = time.monotonic()
        if now - self._read_at > older:
            self._read_at = now
            with contextlib.suppress(OSError), open("/proc/vmstat", "rb") as file:
                _, _, rest = file.read().partition(b"\noom_kill ")
                self._count = int(rest.split(b"\n", 1)[0] or 0)
        return self._count


class OomScore:
    """This process's own standing, raised for the moment of a spawn: children inherit it, without a race."""

    def __init__(self) -> None:
        self._fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
        self._own = os.read(self._fd, 16).strip()
        self._task = b"%d" % min(1000, int(self._own) + _RAISE)

    def up(self) -> None:
        """Tasks go before agent, broker and keeper."""
        self._write(self._task)

    def down(self) -> None:
        """Back to the keeper's own."""
        self._write(self._own)

    def _write(self, score: bytes) -> None:
        with contextlib.suppress(OSError):  # a machine that forbids it runs the task all the same
            os.pwrite(self._fd, score, 0)
