"""The containers of one scratch folder, for one agent: ordered and heard as keepers are (`keepers.KeeperPool`)."""

import contextlib
import math
import os
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from scitq.node import orders
from scitq.node.containers.answers import EngineAway
from scitq.node.containers.minder import Minder
from scitq.node.containers.presence import Presence
from scitq.node.containers.record import Record, Records
from scitq.node.containers.reins import Shop
from scitq.node.containers.strays import remove_strays
from scitq.node.containers.watch import Watch
from scitq.node.containers.words import Owner
from scitq.node.crew import Crew
from scitq.node.remains import boot_id

if TYPE_CHECKING:
    from scitq.node.containers.engine import Engine

LOOK_SECONDS = 0.1  # between two words about one container's output


class ContainerPool:
    """Starts, follows and ends containers.

    Files: `<scratch>/containers/<attempt>` (owned here), `<scratch>/outbox/<attempt>.{out,err}[.tail]` as keepers'.
    """

    def __init__(self, base: Path, owner: Owner, presence: Presence, crew: Crew) -> None:
        """`base` holds the folders of `owner`'s mesh."""
        self._presence = presence
        self._owner = owner
        self._crew = crew
        self._minders: dict[str, Minder] = {}
        self._told: deque[orders.Event] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._swept: Engine | None = None
        self._shop = Shop(
            owner=owner,
            presence=presence,
            watch=Watch(),
            records=Records(f"{base}/containers"),
            outbox=f"{base}/outbox",
            crew=crew,
            boot=boot_id(),
            tell=self._tell,
            wake=self._awaken,
        )

    @property
    def pending(self) -> bool:
        """True when `events()` has something to give."""
        return bool(self._told)

    @property
    def empty(self) -> bool:
        """Whether no attempt is here that is not yet acknowledged."""
        return not self._minders

    def fileno(self) -> int:
        """A descriptor that is readable when a container has something to tell (it never changes)."""
        return self._wake

    def knows(self, name: str) -> bool:
        """Whether this attempt is here, and not yet acknowledged."""
        return name in self._minders

    def adopt(self) -> list[orders.Held]:
        """Go on with what an earlier agent left; the engine is not asked before that."""
        held = []
        for record in self._shop.records.load():
            minder = self._add(record, None)
            started = None
            if record.phase == "started":
                started = orders.Started(record.name, record.pid, record.wall, (record.ticks, record.ticks))
            out, err = minder.log.stored
            held.append(
                orders.Held(
                    name=record.name,
                    spec=record.spec,
                    state="queued" if started is None else "running",
                    started=started,
                    suspended=minder.suspended,
                    out=out,
                    err=err,
                )
            )
        self.sweep()
        return held

    def sweep(self) -> None:
        """Have containers removed that this worker made, and knows no more: once for each engine that is found."""
        try:
            engine = self._presence.engine
        except EngineAway:
            return
        if engine is self._swept:
            return
        self._swept = engine

        def known() -> set[str]:
            return {self._owner.name(name) for name in list(self._minders)}

        def work() -> None:
            remove_strays(engine, self._owner, known)

        self._crew.do("engine", work, self._after_sweep)

    def start(self, order: orders.ContainerOrder) -> None:
        """Make and start a container; answered as by `KeeperPool.start`."""
        if order.name in self._minders:
            raise AssertionError(f"attempt {order.name} is known already")
        record = Record(order.name, order.spec, order.timeout, order.head, order.tail, self._shop.boot)
        self._shop.records.save(record)
        self._add(record, order)
        self.sweep()

    def take_back(self, name: str) -> None:
        """Ask for one that has not started: answered by Returned or AlreadyStarted."""
        minder = self._minders.get(name)
        if minder is None or not minder.take_back():
            self._tell(orders.AlreadyStarted(name))

    def kill(self, name: str, cause: str) -> None:
        """SIGKILL; Ended follows, or Returned when it had not started."""
        if minder := self._minders.get(name):
            minder.kill(cause)

    def terminate(self, name: str, cause: str, grace: float) -> None:
        """SIGTERM, and SIGKILL `grace` seconds later; answers as `kill`."""
        if minder := self._minders.get(name):
            minder.terminate(cause, grace)

    def suspend(self, name: str) -> None:
        """Let it stand still, at its start if it has not started."""
        if minder := self._minders.get(name):
            minder.suspend()

    def resume(self, name: str) -> None:
        """Let it go on."""
        if minder := self._minders.get(name):
            minder.resume()

    def acknowledge(self, name: str) -> None:
        """The end of this attempt is safe elsewhere: its container and its record may go."""
        if minder := self._minders.pop(name, None):
            minder.acknowledge()

    def due(self) -> float:
        """When `events` should be called at the latest, by monotonic clock."""
        return min((minder.due() for minder in self._minders.values()), default=math.inf)

    def events(self) -> list[orders.Event]:
        """Everything told since the last time, in order per attempt; what time asks for is done."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        now = time.monotonic()
        events: list[orders.Event] = []
        for minder in list(self._minders.values()):
            minder.tick(now)
            if minder.noisy and now >= minder.look_at:
                events += self._news(minder, now)
        while self._told:
            event = self._told.popleft()
            if isinstance(event, orders.Returned | orders.Refused):
                self._minders.pop(event.name, None)
            events.append(event)
        return events

    def close(self) -> None:
        """Let go of them; the engine keeps what runs."""
        for minder in self._minders.values():
            minder.close()
        self._minders.clear()

    def _add(self, record: Record, order: orders.ContainerOrder | None) -> Minder:
        minder = self._minders[record.name] = Minder(self._shop, record, order)
        minder.begin()
        return minder

    def _news(self, minder: Minder, now: float) -> list[orders.Event]:
        minder.noisy = False
        minder.look_at = now + LOOK_SECONDS
        out, err, live = minder.log.news()
        news: list[orders.Event] = [orders.Output(minder.name, out, err)]
        for stream, (offset, data) in live.items():
            news.append(orders.LiveOutput(minder.name, stream, offset, bytes(data)))
        return news

    def _tell(self, event: orders.Event) -> None:
        self._told.append(event)
        self._awaken()

    def _awaken(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _after_sweep(self, result: object) -> None:
        if isinstance(result, Exception):
            self._swept = None  # the next container order tries again
