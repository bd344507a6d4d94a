"""Whether the engine that started a container is the one that tells its end.

Docker ends its containers when it stops, and after a death when it is back: such an end is no end of the command's.
One quiet connection is held open as long as containers run. While it lasts it is the same engine; and one that takes
a new connection is not stopping, for docker closes its door before it ends its containers.
"""

import threading

from scitq.node.containers.answers import EngineAway, blocks
from scitq.node.containers.engine import Engine

OPENING_SECONDS = 30.0


class Watch:
    """The quiet connection; its methods may be called by several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._generation = 0
        self._opened: threading.Event | None = None  # of the present thread

    def generation(self, engine: Engine) -> int:
        """Hold the connection from now on; the number of this one. EngineAway."""
        with self._guard:
            opened = self._opened
            if opened is None:
                opened = self._opened = threading.Event()
                threading.Thread(target=self._hold, args=(engine, opened), name="watch", daemon=True).start()
        if not opened.wait(OPENING_SECONDS):
            raise EngineAway("the engine does not let itself be watched")
        with self._guard:
            if self._opened is not opened:
                raise EngineAway("the engine closed the connection that watches it")
            return self._generation

    def unbroken(self, engine: Engine, generation: int) -> bool:
        """Whether it is still the engine of that number, and means to stay. EngineAway."""
        engine.answers_anew()
        with self._guard:
            return self._opened is not None and self._generation == generation

    def _hold(self, engine: Engine, opened: threading.Event) -> None:
        try:
            response = engine.events()
            opened.set()
            for _ in blocks(response):
                continue
        except Exception:  # noqa: BLE001, S110 - however it ends, it has ended
            pass
        finally:
            with self._guard:
                self._generation += 1
                self._opened = None
            opened.set()
