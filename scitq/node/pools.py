"""All that starts commands for the agent, as one: keepers, and the container engine for orders of containers."""

import select
from pathlib import Path

from scitq.node.containers.pool import ContainerPool
from scitq.node.containers.presence import Presence
from scitq.node.containers.words import Owner
from scitq.node.crew import Crew
from scitq.node.keepers import KeeperPool
from scitq.node.orders import ContainerOrder, Event, Held, Order


class Pools:
    """Orders go to the one that an attempt belongs to; what both tell comes from here."""

    def __init__(self, base: Path, owner: Owner, limit: int, presence: Presence, crew: Crew) -> None:
        """`limit`: the concurrency."""
        self._keepers = KeeperPool(base, mesh=owner.mesh, limit=limit)
        self._containers = ContainerPool(base, owner, presence, crew)
        self._poll = select.epoll()
        self._poll.register(self._keepers.fileno(), select.EPOLLIN)
        self._poll.register(self._containers.fileno(), select.EPOLLIN)

    @property
    def limit(self) -> int:
        """How many keepers there may be."""
        return self._keepers.limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._keepers.limit = limit

    @property
    def has_containers(self) -> bool:
        """Whether one is here that runs, or whose end is not acknowledged."""
        return not self._containers.empty

    @property
    def pending(self) -> bool:
        """True when `events()` has something to give that no descriptor will announce."""
        return self._keepers.pending or self._containers.pending

    def fileno(self) -> int:
        """One descriptor for both: readable when one has told something."""
        return self._poll.fileno()

    def due(self) -> float:
        """When `events` should be called though nothing is readable, by monotonic clock."""
        return self._containers.due()

    def adopt(self) -> list[Held]:
        """What an earlier agent left to either."""
        return self._keepers.adopt() + self._containers.adopt()

    def start(self, order: Order | ContainerOrder) -> None:
        """Start a command, or a container."""
        if isinstance(order, ContainerOrder):
            self._containers.start(order)
        else:
            self._keepers.start(order)

    def sweep(self) -> None:
        """Have containers removed that nobody knows any more, once for each engine that is found."""
        self._containers.sweep()

    def take_back(self, name: str) -> None:
        """Ask for what has not started: answered by Returned or AlreadyStarted."""
        self._of(name).take_back(name)

    def kill(self, name: str, cause: str) -> None:
        """SIGKILL; Ended follows, or Returned when it had not started."""
        self._of(name).kill(name, cause)

    def terminate(self, name: str, cause: str, grace: float) -> None:
        """SIGTERM, and SIGKILL `grace` seconds later."""
        self._of(name).terminate(name, cause, grace)

    def suspend(self, name: str) -> None:
        """Let it stand still."""
        self._of(name).suspend(name)

    def resume(self, name: str) -> None:
        """Let it go on."""
        self._of(name).resume(name)

    def acknowledge(self, name: str) -> None:
        """The end of this attempt is safe elsewhere."""
        self._of(name).acknowledge(name)

    def flush(self) -> None:
        """Send what was ordered since the last time."""
        self._keepers.flush()

    def events(self) -> list[Event]:
        """Everything told since the last time, in order per attempt; never waits."""
        return self._keepers.events() + self._containers.events()

    def close(self) -> None:
        """Let go of all that runs; it goes on."""
        self._keepers.close()
        self._containers.close()
        self._poll.close()

    def _of(self, name: str) -> KeeperPool | ContainerPool:
        return self._containers if self._containers.knows(name) else self._keepers
