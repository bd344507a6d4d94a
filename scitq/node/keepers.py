"""The agent's side of the keepers: start them, find them again, order, hear.

One thread, never blocking but in `adopt`. Everything is behind one descriptor, `fileno()`, that a zmq.Poller takes:

    pool = KeeperPool(scratch, mesh="6f1c...", limit=4)
    for held in pool.adopt(): ...            # once, before the first start
    poller.register(pool.fileno(), zmq.POLLIN)
    pool.start(order)                        # orders only collect ...
    pool.flush()                             # ... and leave in one system call per keeper: once a round
    for event in pool.events(): ...          # when fileno() is readable, and whenever `pool.pending` is true
"""

from pathlib import Path

from scitq.node.orders import Event, Held, Order


class KeeperPool:
    """All keepers of one scratch folder, for one agent (the caller holds the folder's lock).

    Files: `<scratch>/keepers/*` (owned here), `<scratch>/outbox/<name>.{out,err}[.tail]` (written by keepers, removed
    by the agent after the broker acknowledged them).
    """

    def __init__(self, scratch: Path, *, mesh: str, limit: int, linger: float = 10.0) -> None:
        """`limit`: how many keepers at most (the concurrency). `linger`: seconds an idle keeper outlives an agent."""
        raise NotImplementedError

    limit: int
    """How many keepers there may be; assign to change it: surplus keepers leave when idle."""

    pending: bool
    """True when `events()` has something to give that no descriptor will announce."""

    def fileno(self) -> int:
        """One descriptor for all: readable when a keeper has told something (it never changes)."""
        raise NotImplementedError

    def adopt(self) -> list[Held]:
        """Find what an earlier agent left: connect to live keepers, settle the attempts of dead ones.

        Raises:
            TimeoutError: a living keeper does not answer; its number and lock file are named.
        """
        raise NotImplementedError

    def start(self, order: Order) -> None:
        """Give the order to an idle keeper, to a new one below the limit, else ahead to the shortest queue.

        Answered by Started, then Ended; or Ended alone (it could not start), Refused, Returned, Lost. When a keeper
        idles while another still queues, the queued order moves over by itself.
        """
        raise NotImplementedError

    def take_back(self, name: str) -> None:
        """Ask for a queued order: answered by Returned or AlreadyStarted (also when unknown or ended)."""
        raise NotImplementedError

    def kill(self, name: str, cause: str) -> None:
        """SIGKILL every process of the attempt; Ended follows, or Returned when it had not started."""
        raise NotImplementedError

    def terminate(self, name: str, cause: str, grace: float) -> None:
        """SIGTERM to every process of the attempt and SIGKILL `grace` seconds later; answers as `kill`."""
        raise NotImplementedError

    def suspend(self, name: str) -> None:
        """SIGSTOP every process of the attempt; one still queued starts all the same."""
        raise NotImplementedError

    def resume(self, name: str) -> None:
        """SIGCONT every process of the attempt."""
        raise NotImplementedError

    def acknowledge(self, name: str) -> None:
        """The end of this attempt is safe elsewhere: its record may go."""
        raise NotImplementedError

    def flush(self) -> None:
        """Send what was ordered since the last time."""
        raise NotImplementedError

    def events(self) -> list[Event]:
        """Everything told since the last time, in order per attempt; never waits."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the keepers; they go on, and leave when they have nothing left."""
        raise NotImplementedError
