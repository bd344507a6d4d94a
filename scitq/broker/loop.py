"""The loop: the only place of the broker with a socket and a clock.

A round: take what has come (bounded, so that nobody waits for long), decide each command, apply its facts, place what
can be placed; hand the facts to the sync thread; when they are on disk, say what was held back until then. While one
round is on its way to the disk the next is collected.

What a message, a clock or a follower can cause never ends the loop: `decide` is pure, so whatever it raises has
changed nothing. Facts that cannot be applied do end it (SystemExit): memory would no longer be what the journal says,
and a restart reads the truth.
"""

import gc
import logging
import select
import time
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import zmq
from msgspec.structs import replace

from scitq import __version__, wire
from scitq.broker import answers, events
from scitq.broker.access import Doorkeeper, ServerKeys
from scitq.broker.apply import apply
from scitq.broker.commands import (
    Ask,
    Command,
    Decision,
    DropParts,
    Gone,
    Mark,
    Peer,
    Reported,
    Schedule,
    Send,
    Silent,
)
from scitq.broker.compaction_child import Compactor
from scitq.broker.decide import decide
from scitq.broker.door import Arrival, Door
from scitq.broker.events import Entry
from scitq.broker.followers import Followers
from scitq.broker.intake import take_in
from scitq.broker.journal import Journal
from scitq.broker.logs import LogStore
from scitq.broker.peers import OwnClock, Peers
from scitq.broker.registries import Registries
from scitq.broker.relays import Relays
from scitq.broker.rounds import Rounds
from scitq.broker.state import BEAT_SECONDS, State
from scitq.broker.waits import Waits
from scitq.broker.writer import Writer
from scitq.errors import Refused, ScitqError, Unavailable

log = logging.getLogger("scitq.broker")

ROUND_MESSAGES = 1_000
ROUND_SECONDS = 0.02
TICK_SECONDS = 0.5
TICKS_A_BEAT = 10  # at least: beats are answered together at a tick, for each send alone wakes libzmq's thread
OFFLINE_BEATS = 4
GRACE_BEATS = 10  # at least so many beats fit into the grace
PARTS_KEPT_SECONDS = 86_400.0
FINISH_SECONDS = 5.0
SLOW_MS = 20  # between looks at whether a slow connection takes more: nothing tells


class Settings(NamedTuple):
    """What a broker is told at its start."""

    state: Path
    bind: tuple[str, ...]
    grace: float


class Broker:
    """One broker on an opened state."""

    def __init__(self, settings: Settings, state: State, journal: Journal, store: LogStore, keys: ServerKeys) -> None:
        self._grace = settings.grace
        self._state = state
        state.beat = min(BEAT_SECONDS, settings.grace / GRACE_BEATS)
        self._journal = journal
        self._store = store
        self._server_key = keys.public
        self._registries = Registries(settings.state / "access")
        self._writer = Writer(journal, store)
        self._compactor = Compactor(settings.state / "journal", journal, self._writer)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._doorkeeper = Doorkeeper(self._context, state.keys)
        self._peers = Peers()
        self._door = Door(self._context, settings.bind, keys, state.keys, self._peers)
        self._clock = OwnClock(time.monotonic())
        self._waits = Waits()
        self._relays = Relays()
        self._rounds = Rounds(self._writer, store, self._door, self._peers, self._drop)
        self._followers = Followers(state, store, self._rounds.takes_more)
        self._beats: list[Send] = []  # answers to beats
        self._dirty = True
        self._slow: frozenset[int] = frozenset()  # workers that have not read what they were handed
        self._stopping = False
        self._next_tick = 0.0
        self._started_at = time.time()
        self._refused = 0

    @property
    def endpoint(self) -> str:
        """The last address bound, a wildcard port resolved."""
        return self._door.endpoint

    @property
    def mesh(self) -> str:
        """The mesh's id."""
        return self._state.mesh

    # ------------------------------------------------------------------------ life

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """End the loop after this round (a signal handler)."""
        self._stopping = True

    def run(self) -> int:
        """Serve until told to stop; 0 in good order, 1 when the disk refused for too long."""
        gc.collect()
        gc.freeze()
        self._record((events.BrokerStarted(__version__),), "start")
        self._peers.expect(list(self._state.workers), self._clock.now)
        # Descriptors and not sockets: libzmq's own poll asks the kernel eight times where once is enough.
        poller = select.poll()
        doors = self._doorkeeper.socket.fileno()
        for watched in (self._door.socket.fileno(), doors, self._writer.fd):
            poller.register(watched, select.POLLIN)
        while not self._stopping and not self._writer.given_up:
            ready = [fd for fd, _ in poller.poll(self._patience())]
            self._clock.look(time.monotonic())
            if self._writer.fd in ready:
                self._release()
            if doors in ready:
                self._doorkeeper.answer()
            self._drain()
            self._tick()
            self._settle()
            self._commit()
        return self._finish()

    def _patience(self) -> int:
        """Milliseconds to sleep when nothing comes."""
        if self._door.waiting or (self._dirty and not self._writer.trouble):
            return 0
        if self._followers.ready:
            return 0
        until_tick = max(int((self._next_tick - time.monotonic()) * 1000) + 1, 0)
        return min(until_tick, SLOW_MS) if self._followers.behind or self._slow else until_tick

    def _finish(self) -> int:
        deadline = time.monotonic() + FINISH_SECONDS
        while (self._writer.in_flight or self._rounds.collecting) and not self._writer.given_up:
            if time.monotonic() > deadline:
                break
            zmq.Poller().poll(1)
            self._release()
            self._commit()
        self._compactor.stop()
        self._writer.close()
        self._journal.close()
        self._store.close()
        self._doorkeeper.close()
        self._door.socket.close()
        self._context.term()
        if not self._writer.given_up:
            return 0
        log.error("the journal could not be written: %s; a restart reads what is durable", self._writer.trouble)
        return 1

    # ------------------------------------------------------------------------ in

    def _drain(self) -> None:
        until = time.monotonic() + ROUND_SECONDS
        for _ in range(ROUND_MESSAGES):
            arrival = self._door.receive()
            if arrival is None:
                break
            self._take(arrival)
            if time.monotonic() > until:
                break
        if (self._dirty or self._slow) and not self._writer.trouble:
            self._dirty = False
            self._slow = self._rounds.slow_workers()
            self._decide_unasked(Schedule(self._slow), "schedule")

    def _take(self, arrival: Arrival) -> None:
        if arrival.peer is None or arrival.message is None:
            if isinstance(arrival.problem, Refused):
                self._drop(arrival.route)
            self._refuse(arrival, arrival.problem or ScitqError("refused"))
            return
        self._peers.heard(arrival.peer, self._clock.now)
        try:
            self._handle(arrival.peer, arrival.message)
        except ScitqError as problem:
            self._refuse(arrival, problem)
        except Exception as defect:
            kind = type(arrival.message).__name__
            log.exception("a defect of scitq: a %s message could not be handled", kind)
            self._refuse(arrival, ScitqError(f"a defect of the broker, please report it: {defect!r}"))

    def _refuse(self, arrival: Arrival, problem: ScitqError) -> None:
        self._refused += 1
        error = {"code": problem.code, "message": str(problem)}
        self._rounds.say_in_trouble([Send(arrival.route, wire.Error(id=arrival.request, error=error))])

    def _handle(self, peer: Peer, message: wire.Request) -> None:
        if self._writer.trouble and not isinstance(message, wire.Status):
            if isinstance(message, wire.Report | wire.Beat | wire.Bye):
                return  # it keeps what it has, and tells again
            raise Unavailable(f"the broker cannot write its journal, and goes on trying: {self._writer.trouble}")
        match message:
            case wire.Report():
                self._reported(peer, message)
            case wire.Follow():
                _only(peer, "admin", "user")
                self._followers.follow(peer.route, message)
            case wire.FollowOutput():
                _only(peer, "admin", "user")
                self._followers.follow_output(peer.route, message)
            case wire.Beat():
                self._beats += decide(self._state, Ask(peer, message), time.time()).sends
            case wire.Credit():
                self._followers.credit(peer.route, message)
            case wire.Unfollow():
                self._followers.unfollow(peer.route, message.follow)
                self._rounds.say([Send(peer.route, wire.Done(id=message.id))])
            case wire.Output():
                _only(peer, "admin", "user")
                self._rounds.say([Send(peer.route, answers.output(self._state, self._store, message))])
            case wire.Status():
                self._rounds.say_in_trouble([Send(peer.route, self._status(message.id))])
            case wire.AccessList():
                _only(peer, "admin")
                self._rounds.say([Send(peer.route, answers.access_keys(self._state, message.id, self._server_key))])
            case wire.WorkerResources() | wire.WorkerProgress():
                _only(peer, "admin", "deployer", "user")
                self._rounds.say([self._relays.ask(self._state, peer, message, self._clock.now)])
            case wire.WorkerClean():
                _only(peer, "admin", "deployer")
                self._rounds.say([self._relays.ask(self._state, peer, message, self._clock.now)])
            case wire.ResourceList() | wire.Cleaned() | wire.ProgressIs():
                self._rounds.say(self._relays.answered(peer, message))
            case wire.RegistryLogin() | wire.RegistryLogout() | wire.RegistryList():
                _only(peer, "admin")
                self._registry(peer, message)
            case wire.Submit() if self._journal.tight:
                raise Unavailable("the broker's disk is nearly full: it takes no new tasks until there is room")
            case _:
                self._asked(peer, message)

    def _registry(self, peer: Peer, message: wire.RegistryLogin | wire.RegistryLogout | wire.RegistryList) -> None:
        if isinstance(message, wire.RegistryList):
            self._rounds.say(
                [Send(peer.route, wire.RegistriesAre(id=message.id, registries=tuple(self._registries)))]
            )
            return
        if isinstance(message, wire.RegistryLogin):
            self._registries.login(message.registry, message.user, message.password)
        else:
            self._registries.logout(message.registry)
        able = [
            worker.number for worker in self._state.workers.values() if worker.status == "online" and worker.engine
        ]
        logins = wire.Logins(logins=self._registries.logins())
        self._rounds.say(
            [*(Send(number, logins) for number in able), Send(peer.route, wire.Done(id=message.id, count=1))]
        )

    def _reported(self, peer: Peer, report: wire.Report) -> None:
        if peer.role not in ("worker", "admin") or peer.worker is None:
            return
        full = self._journal.tight
        marks: tuple[Mark, ...] = () if full else take_in(self._state, self._store, peer.worker, report)
        self._decide(Reported(peer, report, marks, full), peer.name)
        self._rounds.say(self._followers.live(report.chunks))

    def _asked(self, peer: Peer, message: wire.Request) -> None:
        decision = self._decide(Ask(peer, message), f"{peer.name} {getattr(message, 'id', '')}")
        if any(isinstance(send.message, wire.Error) for send in decision.sends):
            self._refused += 1
        elif isinstance(message, wire.Hello):
            joined = [event for event in decision.events if isinstance(event, events.WorkerJoined)]
            self._peers.add(peer._replace(worker=joined[0].worker if joined else None), self._clock.now)
            if joined and joined[0].engine and (logins := self._registries.logins()):
                self._rounds.say([Send(peer.route, wire.Logins(logins=logins))])
        elif isinstance(message, wire.AccessCreate):
            self._rounds.say([Send(peer.route, answers.access_keys(self._state, message.id, self._server_key))])
        elif isinstance(message, wire.AccessRevoke):
            self._expel(message.name)

    def _status(self, request: int) -> wire.StatusIs:
        notes = list(self._journal.notes)
        if self._writer.trouble:
            notes.append(f"the journal cannot be written at present: {self._writer.trouble}")
        if self._journal.tight:
            notes.append("the disk is nearly full: only ends of tasks are taken")
        status = answers.status(
            self._state, request, started_at=self._started_at, refused=self._refused, notes=tuple(notes)
        )
        # What is held is not said before it is on disk, not even as a number.
        return replace(status, counts={}, workers={}, batches=0) if self._writer.trouble else status

    # ------------------------------------------------------------------------ decide, apply

    def _decide(self, command: Command, cause: str) -> Decision:
        decision = decide(self._state, command, time.time())
        # Once its deletion is applied a worker has no connection any more: it is dismissed on the one it has now.
        sends = [
            send._replace(to=self._peers.route_of(send.to) or send.to)
            if isinstance(send.message, wire.Dismissed) and isinstance(send.to, int)
            else send
            for send in decision.sends
        ]
        if decision.events:
            self._record(tuple(decision.events), cause)
        for wait in decision.waits:
            self._waits.add(wait, self._clock.now)
        self._rounds.say(sends)
        return decision

    def _decide_unasked(self, command: Command, cause: str) -> None:
        """Decide what no peer asked for: nobody can be told of a defect, so it is logged, and the loop goes on."""
        try:
            self._decide(command, cause)
        except Exception:
            log.exception("a defect of scitq: %s could not be decided, nothing was changed", type(command).__name__)

    def _record(self, facts: tuple[events.Fact, ...], cause: str) -> None:
        entry = Entry(time.time(), cause, facts)
        try:
            apply(self._state, entry)
        except Exception:
            log.exception("facts that cannot be applied, caused by %s: %s", cause, facts[:20])
            raise SystemExit(1) from None
        self._rounds.add(entry)
        self._dirty = True
        for fact in facts:
            if isinstance(fact, events.WorkerLost | events.WorkerDeleted):
                self._peers.forget_worker(fact.worker)

    def _tick(self) -> None:
        now = time.monotonic()
        if now < self._next_tick:
            return
        self._next_tick = now + min(TICK_SECONDS, self._state.beat / TICKS_A_BEAT)
        beats, self._beats = self._beats, []
        self._rounds.say(beats)
        if self._writer.trouble:
            return
        for number in self._peers.silent(self._clock.now, self._grace):
            self._decide_unasked(Silent(number), "grace over")
            self._peers.forget_worker(number)
        for number in self._peers.silent(self._clock.now, OFFLINE_BEATS * self._state.beat):
            worker = self._state.workers.get(number)
            if worker is not None and worker.status == "online":
                self._decide_unasked(Gone(number), "silence")
        if self._state.parts:
            self._decide_unasked(DropParts(time.time() - PARTS_KEPT_SECONDS), "parts never closed")
        self._compactor.tick(now)

    def _settle(self) -> None:
        if len(self._waits):
            self._rounds.say(self._waits.settle(self._state, self._clock.now))
        if len(self._relays):
            self._rounds.say(self._relays.settle(self._state, self._clock.now))
        self._tell_followers()

    # ------------------------------------------------------------------------ durable, then told

    def _commit(self) -> None:
        if self._rounds.commit(self._state.released):
            self._state.released = []

    def _release(self) -> None:
        done = self._rounds.release()
        if done is None:
            return
        self._tell_followers(done.entries)
        for pointer in done.released:
            self._store.release(pointer)
        if done.released:
            self._compactor.reclaim(self._store)

    def _tell_followers(self, entries: list[Entry] | None = None) -> None:
        try:
            if entries:
                self._followers.after(entries)
            if self._followers.behind:
                self._rounds.say(self._followers.tell())
        except Exception:
            log.exception("a defect of scitq: followers could not be told of a round; it is durable all the same")

    def _drop(self, route: bytes) -> None:
        self._followers.drop(route)
        worker = self._peers.drop(route)
        if worker is not None and not self._writer.trouble:
            self._decide_unasked(Gone(worker), "connection gone")

    def _expel(self, name: str) -> None:
        """A key is revoked: what was pushed or handed to its holders ends now."""
        for peer in self._peers.named(name):
            if peer.worker is not None:
                self._decide(Silent(peer.worker), f"key {name} revoked")
            self._drop(peer.route)


def _only(peer: Peer, *roles: str) -> None:
    if peer.role not in roles:
        raise Refused(f"{peer.name} has the role {peer.role}, which may not ask for this")
