"""The agent's side of the keepers: start them, find them again, order, hear.

One thread, never blocking but in `adopt`. Everything is behind one descriptor, `fileno()`, that a zmq.Poller
takes:

    pool = KeeperPool(scratch, mesh="6f1c...", limit=4)
    for held in pool.adopt(): ...            # once, before the first start
    poller.register(pool.fileno(), zmq.POLLIN)
    pool.start(order)                        # orders only collect ...
    pool.flush()                             # ... and leave in one system call per keeper: once a round
    for event in pool.events(): ...          # when fileno() is readable, and whenever `pool.pending` is true
"""

import os
import select
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scitq.node.graves import Grave, bury
from scitq.node.line import Line, await_death, find_keeper, numbers, open_keeper
from scitq.node.orders import (
    AlreadyStarted,
    Event,
    Held,
    LiveOutput,
    Order,
    Output,
    Refused,
    Returned,
    Started,
    ended,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class KeeperPool:
    """All keepers of one scratch folder, for one agent (the caller holds the folder's lock).

    Files: `<scratch>/keepers/*` (owned here), `<scratch>/outbox/<name>.{out,err}[.tail]` (written by keepers,
    removed by the agent after the broker acknowledged them; read by `spill.read_head` and `spill.read_tail`).
    """

    def __init__(self, scratch: Path, *, mesh: str, limit: int, linger: float = 10.0) -> None:
        """`limit`: how many keepers at most (the concurrency).

        `linger`: seconds that a keeper with nothing left to keep outlives its agent.
        """
        self._folder = scratch.absolute() / "keepers"
        self._outbox = scratch.absolute() / "outbox"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._outbox.mkdir(mode=0o700, exist_ok=True)
        self._mesh = mesh
        self._linger = linger
        self._limit = limit
        self._lines: dict[int, Line] = {}  # by descriptor
        self._homes: dict[str, Line | Grave] = {}  # where each attempt not yet acknowledged is known
        self._graves: set[int] = set()  # numbers whose files still wait for acknowledgements
        self._moving: set[str] = set()  # taken back by the pool itself, for an idle keeper
        self._told: list[Event] = []
        self._poll = select.epoll()
        self._hear: dict[str, Callable[[Line, list[Any]], None]] = {
            "start": self._on_start,
            "end": self._on_end,
            "output": lambda _, m: self._told.append(Output(m[1], m[2], m[3])),
            "live": lambda _, m: self._told.append(LiveOutput(m[1], m[2], m[3], m[4])),
            "returned": self._on_returned,
            "already": self._on_already,
            "refused": self._on_refused,
            "hello": lambda _, __: None,
        }

    @property
    def limit(self) -> int:
        """How many keepers there may be; assign to change it: surplus keepers leave when idle."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._dismiss()

    @property
    def pending(self) -> bool:
        """True when `events()` has something to give that no descriptor will announce."""
        return bool(self._told)

    def fileno(self) -> int:
        """One descriptor for all: readable when a keeper has told something (it never changes)."""
        return self._poll.fileno()

    def adopt(self) -> list[Held]:
        """Find what an earlier agent left: connect to live keepers, settle the attempts of dead ones.

        Raises:
            TimeoutError: a living keeper does not answer; its number and lock file are named.
        """
        held: list[Held] = []
        for number in numbers(self._folder):
            found = find_keeper(self._folder, number)
            if found is None:
                held += self._settle(number)
                continue
            line, holds, messages = found
            held += holds
            self._homes.update((one.name, line) for one in holds)
            self._welcome(line)
            self._listen(line, messages)
        return held

    def start(self, order: Order) -> None:
        """Give the order to an idle keeper, to a new one below the limit, else ahead to the shortest queue.

        Answered by Started, then Ended; or Ended alone (it could not start), Refused, Returned, Lost. When a
        keeper idles while another still queues, the queued order moves over by itself.
        """
        if order.name in self._homes:
            self._told.append(Refused(order.name, "this attempt is known already"))
            return
        line = self._choose()
        line.queue[order.name] = order
        self._homes[order.name] = line
        line.say(
            [
                "start",
                order.name,
                order.argv,
                order.env,
                order.folder,
                order.uid,
                order.gid,
                order.umask,
                order.timeout,
                order.head,
                order.tail,
                order.only_read,
                order.cgroups,
                os.fsencode(f"{self._mesh}/{order.name}"),
                order.spec,
            ]
        )

    def take_back(self, name: str) -> None:
        """Ask for a queued order: answered by Returned or AlreadyStarted (also when unknown or ended)."""
        if name in self._moving:
            self._moving.discard(name)
            return  # asked for already: the answer goes to the agent now
        if isinstance(line := self._homes.get(name), Line) and name in line.queue:
            line.say(["back", name])
        else:
            self._told.append(AlreadyStarted(name))

    def kill(self, name: str, cause: str) -> None:
        """SIGKILL every process of the attempt; Ended follows, or Returned when it had not started."""
        self._order(name, "kill", cause)

    def terminate(self, name: str, cause: str, grace: float) -> None:
        """SIGTERM to every process of the attempt and SIGKILL `grace` seconds later; answers as `kill`."""
        self._order(name, "terminate", cause, grace)

    def suspend(self, name: str) -> None:
        """SIGSTOP every process of the attempt; one still queued starts all the same."""
        self._order(name, "suspend")

    def resume(self, name: str) -> None:
        """SIGCONT every process of the attempt."""
        self._order(name, "resume")

    def acknowledge(self, name: str) -> None:
        """The end of this attempt is safe elsewhere: its record may go."""
        home = self._homes.pop(name, None)
        if isinstance(home, Line):
            home.ended.discard(name)
            home.say(["ack", name])
        elif home is not None:
            home.acknowledge(name)
            if home.empty:
                self._graves.discard(home.number)

    def flush(self) -> None:
        """Send what was ordered since the last time."""
        for line in list(self._lines.values()):
            if line.unsent:
                self._send(line)

    def events(self) -> list[Event]:
        """Everything told since the last time, in order per attempt; never waits."""
        for fd, mask in self._poll.poll(0):
            line = self._lines[fd]
            if mask & select.EPOLLOUT:
                self._send(line)
            if mask & ~select.EPOLLOUT:
                messages = line.hear()
                if messages is None:
                    self._bury(line)
                    continue
                self._listen(line, messages)
        if self._told:
            self._even_out()
        told, self._told = self._told, []
        return told

    def close(self) -> None:
        """Let go of the keepers; they go on, and leave when they have nothing left."""
        self.flush()
        for line in self._lines.values():
            line.close()
        self._lines.clear()
        self._poll.close()

    # Which keeper

    def _choose(self) -> Line:
        best: Line | None = None
        serving = 0
        for line in self._lines.values():
            if line.leaving:
                continue
            serving += 1
            if best is None or line.load < best.load:
                best = line
        if best is not None and (best.load == 0 or serving >= self._limit):
            return best
        taken = {line.number for line in self._lines.values()} | self._graves
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        line = open_keeper(self._folder, self._outbox, number, self._linger)
        self._welcome(line)
        return line

    def _welcome(self, line: Line) -> None:
        self._lines[line.fileno()] = line
        self._poll.register(line.fileno(), select.EPOLLIN)

    def _even_out(self) -> None:
        """While one keeper idles and another has orders waiting, the last one waiting is asked back."""
        self._dismiss()
        idle = sum(1 for line in self._lines.values() if line.load == 0 and not line.leaving)
        for line in sorted(self._lines.values(), key=lambda line: -line.load):
            if idle <= 0:
                break
            name = next(reversed(line.queue), "")
            if line.running and name and name not in self._moving and line.queue[name] is not None:
                self._moving.add(name)
                line.say(["back", name])
                self._send(line)
                idle -= 1

    def _dismiss(self) -> None:
        serving = [line for line in self._lines.values() if not line.leaving]
        surplus = len(serving) - self._limit
        for line in serving:
            if surplus > 0 and line.load == 0:
                line.leaving = True
                line.say(["exit"])
                self._send(line)
                surplus -= 1

    # What they tell

    def _listen(self, line: Line, messages: list[list[Any]]) -> None:
        for message in messages:
            self._hear[message[0]](line, message)

    def _on_start(self, line: Line, message: list[Any]) -> None:
        _, name, pid, low, high, wall = message
        line.queue.pop(name, None)
        line.running = name
        self._told.append(Started(name, pid, wall, (low, high)))

    def _on_end(self, line: Line, message: list[Any]) -> None:
        name = message[1]
        line.queue.pop(name, None)
        line.running = ""
        line.ended.add(name)
        self._told.append(ended(message))

    def _on_returned(self, line: Line, message: list[Any]) -> None:
        name = message[1]
        order = line.queue.pop(name, None)
        self._homes.pop(name, None)
        if name in self._moving and order is not None:
            self._moving.discard(name)
            self.start(order)
            self.flush()
        else:
            self._told.append(Returned(name))

    def _on_already(self, line: Line, message: list[Any]) -> None:
        name = message[1]
        if name in self._moving:
            self._moving.discard(name)
        else:
            self._told.append(AlreadyStarted(name))

    def _on_refused(self, line: Line, message: list[Any]) -> None:
        _, name, reason = message
        line.queue.pop(name, None)
        self._homes.pop(name, None)
        self._told.append(Refused(name, reason))

    # Sending, and death

    def _order(self, name: str, *words: Any) -> None:
        if isinstance(line := self._homes.get(name), Line):
            self._moving.discard(name)
            line.say([words[0], name, *words[1:]])

    def _send(self, line: Line) -> None:
        stuck = line.stuck
        line.send()
        if line.stuck != stuck:
            self._poll.modify(line.fileno(), select.EPOLLIN | (select.EPOLLOUT if line.stuck else 0))

    def _bury(self, line: Line) -> None:
        """Settle what a keeper leaves that is gone: ended, lost, or never started."""
        self._poll.unregister(line.fileno())
        del self._lines[line.fileno()]
        await_death(self._folder, line.number)
        line.close()
        for held in self._settle(line.number):
            if held.end is not None and held.name not in line.ended:
                line.queue.pop(held.name, None)
                self._moving.discard(held.name)
                self._told.append(held.end)
        for name in line.queue:
            self._moving.discard(name)
            del self._homes[name]
            self._told.append(Returned(name))

    def _settle(self, number: int) -> list[Held]:
        grave, held = bury(self._folder, number)
        if held:
            self._graves.add(number)
        for one in held:
            self._homes[one.name] = grave
        return held
