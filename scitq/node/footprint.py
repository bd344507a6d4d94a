"""How much of the disk the folders of running attempts take: walked seldom, and a little at a time.

A walk of a folder with a million files goes on over many looks, between those of others. Resources are not counted:
they are hard links of what all tasks share.
"""

import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from scitq.node.disk import sizes
from scitq.node.folders import PARTS
from scitq.node.say import say

if TYPE_CHECKING:
    from scitq.node.crew import Crew

FIRST = 1.0  # seconds from the start to the first walk; then as many as it is old by now, but never more than SELDOM
SELDOM = 30.0
SLICE = 0.05  # seconds of walking in one look
SHARE = 0.01  # of a core that walking may take
TROUBLE = 60.0  # seconds without a look after one that failed
LAST = 1.0  # seconds that the walk after an end may take: the end is not told before it


class Walk:
    """One way through the folder of an attempt; `bytes` is what was seen of it so far."""

    def __init__(self, folder: str) -> None:
        self.bytes = 0
        self.over = False
        self._sizes = sizes(*(f"{folder}/{part}" for part in PARTS if part != "resource"))

    def go(self, until: float) -> None:
        """Go on, at most until then by monotonic clock."""
        for size in self._sizes:
            self.bytes += size
            if time.monotonic() >= until:
                return
        self.over = True


class Footprint:
    """One attempt: the most that its folder was seen to take, and when it is looked at next."""

    __slots__ = ("_begun", "_folder", "_walk", "next", "peak")

    def __init__(self, folder: str, now: float) -> None:
        self.peak = 0
        self.next = now + FIRST
        self._begun = now
        self._folder = folder
        self._walk: Walk | None = None  # on its way

    @property
    def walk(self) -> Walk:
        """The walk to go on with."""
        self._walk = self._walk or Walk(self._folder)
        return self._walk

    def seen(self, now: float) -> None:
        """Its walk has gone on: note what is known, and begin anew later when it is over."""
        self.peak = max(self.peak, self.walk.bytes)
        self.next = now
        if self.walk.over:
            self.next = now + min(SELDOM, max(FIRST, now - self._begun))
            self._walk = None


class Footprints:
    """`begin` and `end` bound an attempt, `tick` looks when it is `due`; nothing is due while nothing runs."""

    def __init__(self, crew: "Crew") -> None:
        self.due = math.inf  # by monotonic clock
        self._crew = crew
        self._running: dict[str, Footprint] = {}
        self._rest_until = -math.inf
        self._looking = False

    def begin(self, name: str, folder: str, now: float) -> None:
        """It runs in this folder, or is found running."""
        self._running[name] = Footprint(folder, now)
        if not self._looking:
            self.due = min(self.due, max(now + FIRST, self._rest_until))

    def end(self, name: str) -> int:
        """The most bytes that were seen of it, which is forgotten."""
        found = self._running.pop(name, None)
        if not self._running:
            self.due = math.inf
        return 0 if found is None else found.peak

    def tick(self, now: float) -> None:
        """Have those looked at whose time has come, first who waits for the longest."""
        if now < self.due:
            return
        waiting = sorted((one for one in self._running.values() if one.next <= now), key=lambda one: one.next)
        if waiting:
            self._looking = True
            self.due = math.inf
            walks = [one.walk for one in waiting]
            self._crew.do("sampling", lambda: _look(walks), lambda told: self._looked(waiting, told))
        else:
            self.due = min(one.next for one in self._running.values())

    def _looked(self, waiting: list[Footprint], told: object) -> None:
        self._looking = False
        now = time.monotonic()
        if isinstance(told, tuple):
            count, seconds = told
            self._rest_until = now + seconds / SHARE
            for one in waiting[:count]:
                one.seen(now)
        else:
            say(f"what tasks have on the disk cannot be looked at now: {told}")
            self._rest_until = now + TROUBLE
        due = min((one.next for one in self._running.values()), default=math.inf)
        self.due = max(due, self._rest_until)


def weigh(folder: str) -> int:
    """The bytes of the disk in the folder of an attempt, or in a very large one, of the part that was come to."""
    walk = Walk(folder)
    walk.go(time.monotonic() + LAST)
    return walk.bytes


def _look(walks: Iterable[Walk]) -> tuple[int, float]:
    """Go on with these for a SLICE; how many were come to, and the seconds that it took."""
    begin = time.monotonic()
    count = 0
    for walk in walks:
        if time.monotonic() >= begin + SLICE:
            break
        walk.go(begin + SLICE)
        count += 1
    return count, time.monotonic() - begin
