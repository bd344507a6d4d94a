"""What earlier attempts left in the folder of tasks: kept after a failure, or half staged when the agent died.

A later attempt at the task goes on from the inputs that came; the rest is there to be looked at, until room is
needed.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress

from scitq.node.disk import Spare, occupied
from scitq.node.folders import ARRIVING, GONE, PARTS, STAGING, remove


class Leftovers:
    """All that lies there and is nobody's; its methods may be called by several threads."""

    def __init__(self, tasks: str, insist: Callable[[str], None] | None = None) -> None:
        """`insist` removes a folder with what this user may not."""
        self._tasks = tasks
        self._insist = insist
        self._guard = threading.Lock()
        self._live: set[str] = set()

    def claim(self, name: str) -> None:
        """An attempt is held here: its folder is no leftover."""
        with self._guard:
            self._live.add(name)

    def let_go(self, name: str) -> None:
        """An attempt is not held any more: what there is of its folder is left over."""
        with self._guard:
            self._live.discard(name)

    def hand_over(self, name: str, path: str) -> None:
        """Move the inputs that came for the latest earlier attempt at the same task into a folder being staged."""
        task = name.partition(".")[0]
        with self._guard:
            found = [left for left in self._left() if left.removeprefix(STAGING).partition(".")[0] == task]
            for left in sorted(found, key=self._since, reverse=True):
                with suppress(OSError):  # it left none, or a later one left some
                    os.rename(f"{self._tasks}/{left}/{ARRIVING}", f"{path}/{ARRIVING}")

    def spares(self) -> list[Spare]:
        """Each of them as something that may be removed, with the time since when it lies here."""
        with self._guard:
            left = self._left()
        return [Spare(self._since(name), lambda name=name: self._remove(name)) for name in left]  # type: ignore[misc]

    def clean(self) -> tuple[int, int]:
        """Remove all of them; how many there were, and the bytes they took."""
        sizes = [spare.remove() for spare in self.spares()]
        return len(sizes), sum(sizes)

    def _left(self) -> list[str]:
        """Names of folders; those of attempts that are held, and those made ahead, are none."""
        return [
            name
            for name in os.listdir(self._tasks)
            if not name.startswith(GONE) and name.removeprefix(STAGING) not in self._live and self._holds(name)
        ]

    def _holds(self, name: str) -> bool:
        """Whether something is in it: one that is empty may wait for the next task."""
        for part in (ARRIVING, *PARTS):
            try:
                with os.scandir(f"{self._tasks}/{name}/{part}") as found:
                    if next(found, None) is not None:
                        return True
            except PermissionError:
                return True
            except OSError:
                continue
        return False

    def _since(self, name: str) -> float:
        try:
            return os.stat(f"{self._tasks}/{name}").st_mtime
        except OSError:
            return 0.0

    def _remove(self, name: str) -> int:
        gone = f"{self._tasks}/{GONE}{name}"
        with self._guard:
            if name.removeprefix(STAGING) in self._live:
                return 0
            try:
                os.rename(f"{self._tasks}/{name}", gone)
            except FileNotFoundError:
                return 0
        size = occupied(gone)
        remove(gone)
        if self._insist is not None and os.path.lexists(gone):
            self._insist(gone)
        return size
