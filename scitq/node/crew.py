"""A few threads for what waits on disks and networks; what they finish is taken up in the agent's own thread."""

import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue


class Crew:
    """`do` gives work away, `fileno()` becomes readable when some is done, `finish` then calls what follows it."""

    def __init__(self, size: int) -> None:
        """At most `size` threads, started when first needed; they end with the process, in the middle of work."""
        self._size = size
        self._threads = 0
        self._busy = 0
        self._work: SimpleQueue[tuple[Callable[[], object], Callable[[object], None]]] = SimpleQueue()
        self._done: deque[tuple[object, Callable[[object], None]]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """A descriptor that is readable when `finish` has something to do."""
        return self._wake

    def do(self, work: Callable[[], object], then: Callable[[object], None]) -> None:
        """Have `work` done by a thread, and `then` called with its result, or with what it raised."""
        self._work.put((work, then))
        self._busy += 1
        if self._busy > self._threads and self._threads < self._size:
            self._threads += 1
            threading.Thread(target=self._serve, name=f"crew-{self._threads}", daemon=True).start()

    def finish(self) -> None:
        """Call what follows the work done since the last time."""
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return
        while self._done:
            result, then = self._done.popleft()
            self._busy -= 1
            then(result)

    def _serve(self) -> None:
        while True:
            work, then = self._work.get()
            try:
                result = work()
            except Exception as problem:  # noqa: BLE001 - whoever waits for the work is told
                result = problem
            self._done.append((result, then))
            os.eventfd_write(self._wake, 1)
