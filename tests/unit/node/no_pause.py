"""The pauses of what is tried again, told instead of waited for."""

import threading


class NoPause(threading.Event):
    """A flag whose waits take no time, and are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        return self.is_set()
