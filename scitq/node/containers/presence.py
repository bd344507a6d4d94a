"""Whether this machine has a container engine that answers, looked at again while there is none."""

import math
import threading
import time

from scitq.node.containers import finding
from scitq.node.containers.answers import EngineAway
from scitq.node.containers.engine import Engine
from scitq.node.crew import Crew
from scitq.node.say import say

MISSED = 1.0  # seconds between looks for an engine that was here
NEVER_SEEN = 60.0  # the same where none ever was


class Presence:
    """The engine of the moment. `tick` when it is `due`; `lost` and `engine` may be called by several threads."""

    def __init__(self, crew: Crew) -> None:
        """Look for one, which takes some 30 ms where there is something to find."""
        self._crew = crew
        self._guard = threading.Lock()
        self._back = threading.Event()
        self._engine = finding.probe()
        self._ever = self._engine is not None
        self._looking = False
        self.due = math.inf
        self.away_since = math.inf  # by monotonic clock
        if self._engine is not None:
            self._back.set()
        else:
            self.away_since = time.monotonic()
            self._look_later()

    def __str__(self) -> str:
        """What the worker announces: kind and version, "" when none answers."""
        return "" if self._engine is None else str(self._engine)

    @property
    def engine(self) -> Engine:
        """The engine; EngineAway when none answers."""
        found = self._engine
        if found is None:
            raise EngineAway("no container engine answers on this machine")
        return found

    def lost(self, engine: Engine | None = None) -> None:
        """It does not answer any more (unless another one is here by now)."""
        with self._guard:
            if self._engine is not None and engine in (None, self._engine):
                self._engine = None
                self._back.clear()
                self.due = self.away_since = time.monotonic()

    def wait(self, seconds: float) -> None:
        """Until there is an engine, or a while: whoever waits for one wants it looked for."""
        self.due = min(self.due, time.monotonic() + MISSED)
        self._back.wait(seconds)

    def tick(self, now: float) -> None:
        """Have somebody look, when it is time to."""
        if now < self.due:
            return
        self.due = math.inf
        if self._looking or self._engine is not None:
            return
        self._looking = True
        self._crew.do("engine", finding.probe, self._looked)

    def _looked(self, found: object) -> None:
        self._looking = False
        if isinstance(found, Engine):
            if self._ever:
                say(f"the container engine is back: {found}")
            with self._guard:
                self._ever = True
                self._engine = found
                self.due = self.away_since = math.inf
                self._back.set()
        else:
            self._look_later()

    def _look_later(self) -> None:
        self.due = time.monotonic() + (MISSED if self._ever else NEVER_SEEN)
