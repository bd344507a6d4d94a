"""One container from its making to its removal: the thread that waits on the engine for it.

The engine may go at any moment, and the agent too: whatever is known is asked of the engine again, and what it does
not know stands in the record. So this begins anew, after a death of either, at what is found there.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator

from scitq.node import orders
from scitq.node.cgroups import PASSED
from scitq.node.containers import groups, words
from scitq.node.containers.answers import (
    EngineAway,
    EngineRefused,
    NameTaken,
    NoSuchContainer,
    NoSuchImage,
    Seen,
)
from scitq.node.containers.engine import Engine, started_at
from scitq.node.containers.logs import Log, demultiplexed
from scitq.node.containers.meter import Meter
from scitq.node.containers.record import Record
from scitq.node.containers.reins import Reins, Shop
from scitq.node.say import say

AWAY_SECONDS = 0.5  # between looks whether the engine is back, or nobody wants it any more
SETTLING_SECONDS = 1.0  # that a container may take to end after its output has
KILLED = 128 + signal.SIGKILL  # the exit code of who was ended by it
ENGINE_DIED = "the container engine died or was restarted under it"


class Minder(Reins):
    """A container, and the thread that minds it."""

    def __init__(self, shop: Shop, record: Record, order: orders.ContainerOrder | None) -> None:
        """`order` None: an earlier agent gave it."""
        super().__init__(shop, record)
        self.log = Log(f"{shop.outbox}/{record.name}", record.head, record.tail, again=order is None)
        self._meter = Meter(shop.owner.group(record.name))
        self._order = order
        self._attached: Iterator[bytes] | None = None  # its output, from before its start on
        self._generation: int | None = None  # of the engine under which it is known to have run

    def begin(self) -> None:
        """Let its thread go."""
        threading.Thread(target=self._mind, name=self.name, daemon=True).start()

    def _mind(self) -> None:
        try:
            self._live()
            self._over.wait()
            if not self._closed:
                self._with_patience(self._remove)
        except _Closed:
            return

    def _live(self) -> None:
        """All of it, up to its end and the word of that."""
        try:
            if self._order is None or self._make(self._order):
                self._tell(self._see_it_end())
        except _Closed:
            raise
        except OSError as problem:  # a disk that is full, as a rule
            self._tell(self._lost(f"the worker could not go on with it: {problem}"))
        except Exception as defect:  # noqa: BLE001 - one container that cannot be minded must not end the others
            reason = f"a defect of scitq, please report it: {defect!r}"
            say(f"attempt {self.name}: {reason}")
            self._tell(self._lost(reason))

    def _make(self, order: orders.ContainerOrder) -> bool:
        """Make it and start it, once the engine is there; False when its story is over with that."""
        made = False
        while not self._let_go:
            engine: Engine | None = None
            try:
                engine = self._engine()
                if not made:
                    self._create(engine, order)
                    made = True
                self._attached = engine.attach(self._called)
                self._generation = self._watched(engine)
                if self._may_start(engine.instance()):
                    engine.start(self._called)
                    return True
            except EngineAway:
                self._went_away(engine)
                if self._begun:
                    return True
            except NoSuchImage as problem:
                self._tell(orders.Refused(self.name, str(problem), "image"))
                return False
            except EngineRefused as problem:
                self._record.problem = str(problem)
                self._save()
                self._tell(self._unstartable())
                return False
        if made:
            self._leave()
        self._tell(orders.Returned(self.name))
        return False

    def _may_start(self, instance: str) -> bool:
        """Note that it is about to be started by this engine, unless it was taken back."""
        with self._guard:
            if not self._let_go:
                self._begun = True
                self._record.phase, self._record.instance = "starting", instance
                self._save()
            return self._begun

    def _create(self, engine: Engine, order: orders.ContainerOrder) -> None:
        try:
            self._create_by_docker(engine, order)
        except NameTaken:  # by what a broken connection left of an earlier try
            engine.remove(self._called)
            self._create_by_docker(engine, order)
        if order.options:
            seen = engine.look(self._called)
            if seen.removes_itself or not words.taken(order, self._shop.owner, seen.labels):
                raise EngineRefused(
                    f"-O {order.options!r} holds a word that is no option, or an option without value"
                )

    def _create_by_docker(self, engine: Engine, order: orders.ContainerOrder) -> None:
        try:
            group = self._shop.owner.group(order.name) if engine.leaves_groups else ""
            engine.create(words.create(order, self._shop.owner, str(engine), group))
        except NoSuchImage as problem:
            if order.options:
                engine.user_of(order.image)  # it is here: the one that is not was a word of -O
                raise EngineRefused(f"-O {order.options!r} holds a word that is no option: {problem}") from None
            raise

    def _see_it_end(self) -> orders.Event:
        """Follow it to its end, however often the engine goes and comes back meanwhile."""
        while not self._record.problem:
            engine: Engine | None = None
            try:
                engine = self._engine()
                seen = engine.look(self._called)
                if seen.status == "created":
                    return self._never_started(engine)
                self._note_start(seen)
                if seen.runs:
                    self._meter.begin(seen.pid)
                    if self._generation is None:
                        self._generation = self._watched(engine)
                    self._enforce(seen)
                attached, self._attached = self._attached, None
                self._read(attached or engine.logs(self._called, follow=seen.runs), seen.tty)
                self._meter.note()
                seen = engine.look(self._called)
                if seen.runs:
                    engine.wait(self._called, SETTLING_SECONDS)
                    self._meter.note()
                    seen = engine.look(self._called)
                if not seen.runs:
                    if not attached:
                        self._read(engine.logs(self._called, follow=False), seen.tty)
                    return self._ended(seen) if self._is_its_own(engine, seen) else self._lost(ENGINE_DIED)
            except EngineAway:
                self._went_away(engine)
                if self._let_go:
                    return orders.Returned(self.name)
            except NoSuchContainer:
                if self._record.phase == "ordered":
                    return orders.Returned(self.name)
                return self._lost("its container was removed by somebody else")
        return self._unstartable()

    def _read(self, told: Iterator[bytes], tty: bool) -> None:
        """Take its output in, told from its first byte on."""
        self.log.from_the_start()
        for name, data in demultiplexed(told, tty=tty):
            if self._closed:
                raise _Closed
            if self.log.feed(name, data) and not self.noisy:
                self.noisy = True
                self._shop.wake()

    def _note_start(self, seen: Seen) -> None:
        """Say once that it has started; a record of it is what the next agent goes by."""
        if self._told_start:
            return
        ticks = started_at(seen.pid) if seen.pid else 0
        with self._guard:
            record = self._record
            record.phase, record.wall, record.pid, record.ticks = "started", seen.started, seen.pid, ticks
            self._save()
            self._told_start = True
        self.look_at = time.monotonic() + 0.1
        self._tell(orders.Started(self.name, seen.pid, seen.started, (ticks, ticks)))

    def _enforce(self, seen: Seen) -> None:
        """What was ordered while the engine could not be asked, or before there was anything to order."""
        if self._record.cause:
            self._ask("kill", "SIGKILL" if self._killed else "SIGTERM")
        elif self.suspended != (seen.status == "paused"):
            self._ask("pause" if self.suspended else "unpause")

    def _is_its_own(self, engine: Engine, seen: Seen) -> bool:
        """Whether the end is the command's, and not that of the machine or of the engine."""
        if self._record.boot != self._shop.boot:
            return False
        if not engine.shares_fate:
            return True
        if self._generation is not None:
            return self._shop.watch.unbroken(engine, self._generation)
        instance = self._record.instance
        return bool(instance and instance == engine.instance()) or engine.saw_start(seen.id, seen.started)

    # Ends

    def _ended(self, seen: Seen) -> orders.Ended:
        record = self._record
        suspended = record.suspended
        if record.suspended_at is not None:
            suspended += max(0.0, seen.finished - record.suspended_at)
        oom = seen.exit_code != 0 and (seen.oom or self._ran_out(seen))
        used = self._meter.used(oom=oom)
        out, err = self.log.close()
        return orders.Ended(
            name=self.name,
            code=seen.exit_code,
            signal=None,
            problem=None,
            oom=oom,
            cause=record.cause or (PASSED if oom else None),
            wall_start=seen.started,
            wall_end=seen.finished,
            seconds=max(0.0, seen.finished - seen.started - suspended),
            suspended=suspended,
            cpu=used.cpu,
            max_rss=used.memory or None,
            out=out,
            err=err,
            read_bytes=used.read_bytes,
            written_bytes=used.written_bytes,
        )

    def _ran_out(self, seen: Seen) -> bool:
        """Whether the kernel must have ended it for want of memory: docker does not always notice in time."""
        return seen.exit_code == KILLED and not self._record.cause and not self._killed and self._meter.met(seen.mem)

    def _unstartable(self) -> orders.Ended:
        out, err = self.log.close()
        now, problem = time.time(), self._record.problem
        return orders.Ended(self.name, None, None, problem, False, None, now, now, 0.0, 0.0, 0.0, None, out, err)

    def _lost(self, reason: str) -> orders.Lost:
        self.log.close()
        return orders.Lost(self.name, self._record.wall or time.time(), "", reason)

    def _never_started(self, engine: Engine) -> orders.Event:
        """Made, and not started: it goes back, unless it is taken for started, or may just be about to be."""
        self._clear(engine)
        if self._vouched:
            return self._lost(ENGINE_DIED)
        if self._order is None and self._record.phase == "starting":
            return self._lost("the agent was killed while it started it")
        return orders.Returned(self.name)

    # Small things

    def _tell(self, event: orders.Event) -> None:
        if self._closed:
            raise _Closed
        if isinstance(event, orders.Returned | orders.Refused):
            # Nobody acknowledges these, and the next order may have the same name: nothing is done under it any more.
            self._shop.records.forget(self.name)
            self.close()
        self._shop.tell(event)

    def _engine(self) -> Engine:
        if self._closed:
            raise _Closed
        return self._shop.presence.engine

    def _watched(self, engine: Engine) -> int:
        return self._shop.watch.generation(engine) if engine.shares_fate else 0

    def _went_away(self, engine: Engine | None) -> None:
        if engine is not None:
            self._shop.presence.lost(engine)
            self._shop.wake()
        self._shop.presence.wait(AWAY_SECONDS)

    def _with_patience(self, work: Callable[[], None]) -> None:
        while True:
            engine: Engine | None = None
            try:
                engine = self._engine()
                return work()
            except EngineAway:
                self._went_away(engine)

    def _leave(self) -> None:
        """Remove what was made and not started; an engine that is away is waited for by none, and swept when back."""
        engine: Engine | None = None
        try:
            engine = self._engine()
            self._clear(engine)
        except EngineAway:
            if engine is not None:
                self._shop.presence.lost(engine)

    def _remove(self) -> None:
        self._clear(self._engine())
        self._shop.records.forget(self.name)

    def _clear(self, engine: Engine) -> None:
        group = self._shop.owner.group(self.name)
        groups.remove(group)  # as a rule nothing runs in it: with the container nothing is left then
        engine.remove(self._called)
        groups.clear(group)


class _Closed(Exception):
    """The agent let go of it."""
