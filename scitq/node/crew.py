"""A few threads for what waits on disks and networks; what they finish is taken up in the agent's own thread."""

import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Literal

Kind = Literal["staging", "storing", "checking", "clearing", "sampling", "pulling", "engine"]
THREADS: dict[Kind, int] = {
    "staging": 32,  # most of them wait: for what another one brings, for room, for their turn
    "storing": 4,
    "checking": 2,  # the folder of one may be large
    "clearing": 1,
    "sampling": 1,
    "pulling": 3,
    "engine": 4,
}

Then = Callable[[object], None]


class Crew:
    """`do` gives work away, `fileno()` becomes readable when some is done, `finish` then calls what follows it.

    Each kind of work has threads of its own, so that a slow download delays no upload. They are started when first
    needed, and end with the process, in the middle of work.
    """

    def __init__(self) -> None:
        self._work: dict[Kind, SimpleQueue[tuple[Callable[[], object], Then]]] = {
            kind: SimpleQueue() for kind in THREADS
        }
        self._busy: dict[Kind, int] = dict.fromkeys(THREADS, 0)
        self._threads: dict[Kind, int] = dict.fromkeys(THREADS, 0)
        self._done: deque[tuple[Kind, object, Then]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """A descriptor that is readable when `finish` has something to do."""
        return self._wake

    @property
    def idle(self) -> bool:
        """Whether all that was given away is done and taken up."""
        return not any(self._busy.values())

    def do(self, kind: Kind, work: Callable[[], object], then: Then) -> None:
        """Have `work` done by a thread, and `then` called with its result, or with what it raised."""
        self._work[kind].put((work, then))
        self._busy[kind] += 1
        if self._threads[kind] < min(self._busy[kind], THREADS[kind]):
            self._threads[kind] += 1
            name = f"{kind}-{self._threads[kind]}"
            threading.Thread(target=self._serve, args=(kind,), name=name, daemon=True).start()

    def finish(self) -> None:
        """Call what follows the work done since the last time."""
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return
        while self._done:
            kind, result, then = self._done.popleft()
            self._busy[kind] -= 1
            then(result)

    def _serve(self, kind: Kind) -> None:
        while True:
            work, then = self._work[kind].get()
            try:
                result = work()
            except Exception as problem:  # noqa: BLE001 - whoever waits for the work is told
                result = problem
            self._done.append((kind, result, then))
            os.eventfd_write(self._wake, 1)
