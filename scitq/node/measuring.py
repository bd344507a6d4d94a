"""What attempts use while they run, as one: their processes, and their folders."""

from typing import TYPE_CHECKING

from scitq.node.footprint import Footprints
from scitq.node.sampler import Root, Sampler, Use

if TYPE_CHECKING:
    from scitq.node.crew import Crew


class Measuring:
    """`begin` and `end` bound an attempt, `tick` looks when something is `due`."""

    def __init__(self, crew: "Crew") -> None:
        self._sampler = Sampler(crew)
        self._footprints = Footprints(crew)

    @property
    def due(self) -> float:
        """When `tick` has something to do, by monotonic clock."""
        return min(self._sampler.due, self._footprints.due)

    def begin(self, name: str, root: Root, folder: str, now: float, *, closely: bool = False) -> None:
        """It runs, or is found running; `closely`: its memory is to be looked at as often as ever."""
        self._sampler.begin(name, root, now, closely=closely)
        self._footprints.begin(name, folder, now)

    def used(self, name: str) -> Use:
        """The most that was seen of its processes so far."""
        return self._sampler.used(name)

    def end(self, name: str) -> Use:
        """The most that was seen of it, which is forgotten."""
        used, disk = self._sampler.end(name), self._footprints.end(name)
        return used._replace(disk=disk) if disk else used  # most are over before any look

    def tick(self, now: float) -> None:
        """Look at what it is time to look at."""
        self._sampler.tick(now)
        self._footprints.tick(now)
