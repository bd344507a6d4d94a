"""What the agent's own thread does to a container: orders that reach into it, and its clocks."""

import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from scitq.node import orders
from scitq.node.containers.answers import EngineAway, EngineRefused
from scitq.node.containers.presence import Presence
from scitq.node.containers.record import Record, Records
from scitq.node.containers.watch import Watch
from scitq.node.containers.words import Owner
from scitq.node.crew import Crew

TIMEOUT_GRACE = 5.0  # seconds from SIGTERM to SIGKILL after the run timeout


class Shop(NamedTuple):
    """What all containers of a pool share; `tell` and `wake` may be called by their threads."""

    owner: Owner
    presence: Presence
    watch: Watch
    records: Records
    outbox: str
    crew: Crew
    boot: str
    tell: Callable[[orders.Event], None]
    wake: Callable[[], None]  # there is something to look at


class Reins:
    """One container, for whoever orders. Whatever the engine cannot be asked now, its minder sees to when it can."""

    def __init__(self, shop: Shop, record: Record) -> None:
        self.name = record.name
        self.noisy = False  # its thread has said that there is output, and nobody looked yet
        self.look_at = 0.0  # when somebody may look again, by monotonic clock
        self._shop = shop
        self._record = record
        self._called = shop.owner.name(record.name)
        self._guard = threading.RLock()
        self._over = threading.Event()  # acknowledged: nothing of it is needed any more
        self._let_go = False  # not to be started any more
        self._begun = record.phase != "ordered"
        self._vouched = False  # it was said to have started: it cannot be returned any more
        self._told_start = record.phase == "started"
        self._killed = False
        # When SIGKILL is due, by monotonic clock. Whether an earlier agent has sent it is not known.
        self._kill_at = time.monotonic() + TIMEOUT_GRACE if record.cause else math.inf
        self._closed = False

    def take_back(self) -> bool:
        """Have it not started; False when it may have been by now. Returned follows."""
        with self._guard:
            self._let_go = not self._begun
            self._vouched = self._begun
            return self._let_go

    def kill(self, cause: str) -> None:
        """SIGKILL; one that has not started is returned."""
        self._halt(cause, "SIGKILL")

    def terminate(self, cause: str, grace: float) -> None:
        """SIGTERM to its first process, SIGKILL `grace` seconds later."""
        self._halt(cause, "SIGTERM")
        self._kill_at = min(self._kill_at, time.monotonic() + grace)

    def suspend(self) -> None:
        """Let it stand still; its timeout does too."""
        with self._guard:
            if self._record.suspended_at is None:
                self._record.suspended_at = time.time()
                self._save()
        self._command("pause")

    def resume(self) -> None:
        """Let it go on."""
        with self._guard:
            if self._record.suspended_at is None:
                return
            self._record.suspended += max(0.0, time.time() - self._record.suspended_at)
            self._record.suspended_at = None
            self._save()
        self._command("unpause")

    def acknowledge(self) -> None:
        """Its end is safe elsewhere: the container may go."""
        self._over.set()

    def close(self) -> None:
        """Let go of it; the engine keeps what runs."""
        self._closed = True
        self._over.set()

    @property
    def suspended(self) -> bool:
        """Whether it stands still by order."""
        return self._record.suspended_at is not None

    def due(self) -> float:
        """When `tick` or a look at its output is due, by monotonic clock; infinite when time changes nothing."""
        due = min(self._kill_at, self._deadline())
        return min(due, self.look_at) if self.noisy else due

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        if now >= self._kill_at:
            self._kill_at = math.inf
            self.kill(self._record.cause or "")
        elif now >= self._deadline():
            self.terminate("timeout", TIMEOUT_GRACE)

    def _deadline(self) -> float:
        record = self._record
        if record.timeout is None or not self._told_start or self.suspended or record.cause or self._over.is_set():
            return math.inf
        return time.monotonic() + record.timeout - (time.time() - record.wall - record.suspended)

    def _halt(self, cause: str, signal: str) -> None:
        with self._guard:
            if not self._begun:
                self._let_go = True
                return
            self._killed = self._killed or signal == "SIGKILL"
            if not self._record.cause:
                self._record.cause = cause
                self._save()
            if self._record.suspended_at is not None:
                self.resume()
        self._command("kill", signal)

    def _command(self, what: str, *details: str) -> None:
        """Have the engine asked, by a thread of the crew."""

        def ask() -> None:
            try:
                self._ask(what, *details)
            except EngineAway:
                return

        self._shop.crew.do("engine", ask, lambda _: None)

    def _ask(self, what: str, *details: str) -> None:
        """Ask the engine; what it refuses, because it has ended or not begun, is seen to at the next look."""
        try:
            getattr(self._shop.presence.engine, what)(self._called, *details)
        except EngineRefused:
            return

    def _save(self) -> None:
        if not self._closed:
            self._shop.records.save(self._record)
