"""The ROUTER loop: the only place with a socket and a clock.

A round: take what has come (bounded, so that nobody waits for long), decide each command, apply its facts, place what
can be placed; hand the facts to the sync thread; when they are on disk, say what was held back until then. While one
round is on its way to the disk the next is collected.
"""

import gc
import logging
import os
import time
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import zmq

import scitq
from scitq import wire
from scitq.broker import events
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
from scitq.broker.decide import BEAT_SECONDS, decide
from scitq.broker.events import Entry
from scitq.broker.followers import STREAMS, Followers, read
from scitq.broker.intake import take_in
from scitq.broker.journal import Journal
from scitq.broker.logs import LogStore
from scitq.broker.peers import OwnClock, Peers
from scitq.broker.rules.reads import log_of
from scitq.broker.state import State
from scitq.broker.waits import Waits
from scitq.broker.writer import Round, Writer
from scitq.config import make_private
from scitq.errors import BadMessage, NotFound, Refused, ScitqError, TooLarge, Unavailable
from scitq.wire import CHUNK_LIMIT, MESSAGE_LIMIT

log = logging.getLogger("scitq.broker")

ROUND_MESSAGES = 1_000
ROUND_SECONDS = 0.02
TICK_SECONDS = 0.5
OFFLINE_BEATS = 4
PARTS_KEPT_SECONDS = 86_400.0
QUEUED_MESSAGES = 1_000  # per connection, in libzmq; past that it is taken for dead


class Settings(NamedTuple):
    """What a broker is told at its start."""

    state: Path
    bind: tuple[str, ...]
    grace: float


class Broker:
    """One broker on an opened state."""

    def __init__(self, settings: Settings, state: State, journal: Journal, store: LogStore, keys: ServerKeys) -> None:
        self._settings = settings
        self._state = state
        self._journal = journal
        self._store = store
        self._keys = keys
        self._writer = Writer(journal, store)
        self._compactor = Compactor(settings.state / "journal", journal, self._writer)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._doorkeeper = Doorkeeper(self._context, state.keys)
        self._socket = self._open_socket()
        self._clock = OwnClock(time.monotonic())
        self._peers = Peers()
        self._waits = Waits()
        self._followers = Followers(state, store)
        self._entries: list[Entry] = []
        self._held: list[Send] = []
        self._dirty = True
        self._stopping = False
        self._next_tick = 0.0
        self._started_at = time.time()
        self._refused = 0

    # ------------------------------------------------------------------------ life

    def _open_socket(self) -> "zmq.Socket[bytes]":
        socket = self._context.socket(zmq.ROUTER)
        socket.linger = 500
        socket.router_mandatory = True
        socket.maxmsgsize = MESSAGE_LIMIT
        socket.sndhwm = QUEUED_MESSAGES
        socket.rcvhwm = QUEUED_MESSAGES
        socket.heartbeat_ivl = 5_000
        socket.heartbeat_timeout = 20_000
        # A listener takes the options as they are at its bind: the ipc ones first, without CURVE.
        for address in sorted(self._settings.bind, key=lambda address: not address.startswith("ipc://")):
            if address.startswith("ipc://"):
                make_private(Path(address.removeprefix("ipc://")).parent)
            else:
                socket.curve_server = True
                socket.curve_secretkey = self._keys.secret.encode()
                socket.curve_publickey = self._keys.public.encode()
            try:
                socket.bind(address)
            except zmq.ZMQError as problem:
                raise Unavailable(f"cannot listen at {address}: {problem}") from None
        return socket

    @property
    def endpoints(self) -> str:
        """The last address bound, as libzmq says it (a wildcard port resolved)."""
        endpoint = self._socket.getsockopt(zmq.LAST_ENDPOINT)
        return endpoint.rstrip(b"\0").decode() if isinstance(endpoint, bytes) else str(endpoint)

    @property
    def mesh(self) -> str:
        """The mesh's id."""
        return self._state.mesh

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """End the loop after this round (a signal handler)."""
        self._stopping = True

    def run(self) -> int:
        """Serve until told to stop; 0 in good order, 1 when the disk refused for too long."""
        gc.collect()
        gc.freeze()
        self._record((events.BrokerStarted(scitq.__version__),), "start")
        self._peers.expect(list(self._state.workers), self._clock.now)
        poller = zmq.Poller()
        for watched in (self._socket, self._doorkeeper.socket, self._writer.fd):
            poller.register(watched, zmq.POLLIN)
        while not self._stopping and not self._writer.given_up:
            poller.poll(self._patience())
            self._clock.look(time.monotonic())
            self._release()
            self._doorkeeper.answer()
            self._drain()
            self._tick()
            self._settle()
            self._commit()
        return self._finish()

    def _patience(self) -> int:
        """Milliseconds to sleep when nothing comes."""
        waiting = int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN
        if waiting or (self._dirty and not self._writer.trouble):
            return 0
        return max(int((self._next_tick - time.monotonic()) * 1000) + 1, 0) if self._next_tick else 0

    def _finish(self) -> int:
        deadline = time.monotonic() + 5
        while (self._writer.in_flight or self._entries or self._held) and time.monotonic() < deadline:
            if self._writer.given_up:
                break
            self._release()
            self._commit()
            time.sleep(0.001)
        self._compactor.stop()
        self._writer.close()
        given_up = self._writer.given_up
        self._journal.close()
        self._store.close()
        self._doorkeeper.close()
        self._socket.close()
        self._context.term()
        if given_up:
            log.error(
                "the journal could not be written for too long: %s; a restart reads what is durable",
                self._writer.trouble,
            )
        return 1 if given_up else 0

    # ------------------------------------------------------------------------ in

    def _drain(self) -> None:
        until = time.monotonic() + ROUND_SECONDS
        for _ in range(ROUND_MESSAGES):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            self._take(frames)
            if time.monotonic() > until:
                break
        if self._dirty and not self._writer.trouble:
            self._dirty = False
            self._decide(Schedule(), "schedule")

    def _take(self, frames: list[zmq.Frame]) -> None:
        route = frames[0].bytes
        if len(frames) != 2:
            self._refuse(route, None, BadMessage(f"{len(frames) - 1} frames where one message is one frame"))
            return
        body = frames[1].buffer
        try:
            message = wire.decode_request(body)
        except BadMessage as problem:
            self._refuse(route, wire.request_id(body), problem)
            return
        peer = self._identify(route, frames[1])
        if peer is None:
            self._refuse(route, getattr(message, "id", None), ScitqError("this key is not accepted any more"))
            return
        if self._peers.get(route) is None and not isinstance(message, wire.Hello):
            self._refuse(route, getattr(message, "id", None), BadMessage("the first message is `hello`"))
            return
        self._peers.heard(peer, self._clock.now)
        try:
            self._handle(peer, message)
        except ScitqError as problem:
            self._refuse(route, getattr(message, "id", None), problem)

    def _identify(self, route: bytes, frame: zmq.Frame) -> Peer | None:
        """Role and name by the key, at every message; a connection without a key came by ipc."""
        known = self._peers.get(route)
        try:
            key = frame.get("User-Id")
        except zmq.ZMQError:
            return known or Peer(route, "admin", "local")
        access = self._state.keys.get(str(key))
        if access is None:
            self._drop(route)
            return None
        if known is not None:
            return known if known.role == access.role else known._replace(role=access.role, name=access.name)
        return Peer(route, access.role, access.name)

    def _refuse(self, route: bytes, request: int | None, problem: ScitqError) -> None:
        self._refused += 1
        error = {"code": problem.code, "message": str(problem)}
        self._say([Send(route, wire.Error(id=request, error=error))])

    def _handle(self, peer: Peer, message: wire.Request) -> None:
        if self._writer.trouble and not isinstance(message, wire.Status):
            if isinstance(message, wire.Report | wire.Beat | wire.Bye):
                return  # it keeps what it has, and tells again
            raise Unavailable(f"the broker cannot write its journal, and goes on trying: {self._writer.trouble}")
        match message:
            case wire.Report():
                self._reported(peer, message)
            case wire.Follow():
                self._only(peer, "admin", "user")
                self._check_follow(message)
                self._say(self._followers.follow(peer.route, message))
            case wire.FollowOutput():
                self._only(peer, "admin", "user")
                self._say(self._followers.follow_output(peer.route, message))
            case wire.Credit():
                self._say(self._followers.credit(peer.route, message))
            case wire.Unfollow():
                self._followers.unfollow(peer.route, message.follow)
                self._say([Send(peer.route, wire.Done(id=message.id))])
            case wire.Output():
                self._only(peer, "admin", "user")
                self._say([Send(peer.route, self._output(message))])
            case wire.Status():
                self._say([Send(peer.route, self._status(message))])
            case wire.AccessList():
                self._only(peer, "admin")
                self._say([Send(peer.route, self._access_keys(message.id))])
            case wire.Submit() if self._journal.tight:
                raise Unavailable("the broker's disk is nearly full: it takes no new tasks until there is room")
            case _:
                self._asked(peer, message)

    def _only(self, peer: Peer, *roles: str) -> None:
        if peer.role not in roles:
            raise Refused(f"{peer.name} has the role {peer.role}, which may not ask for this")

    def _check_follow(self, message: wire.Follow) -> None:
        for task in message.tasks:
            if task not in self._state.tasks:
                raise NotFound(f"there is no task {task}")
        if message.batch is not None and message.batch not in self._state.batches:
            raise NotFound(f"there is no batch {message.batch}")

    def _reported(self, peer: Peer, report: wire.Report) -> None:
        if peer.role not in ("worker", "admin") or peer.worker is None:
            return
        if self._journal.tight:
            marks: tuple[Mark, ...] = ()
        else:
            marks = take_in(self._state, self._store, peer.worker, report)
        self._decide(Reported(peer, report, marks), peer.name)
        self._say(self._followers.live(report.chunks))

    def _asked(self, peer: Peer, message: wire.Request) -> None:
        decision = self._decide(Ask(peer, message), f"{peer.name} {getattr(message, 'id', '')}")
        refused = any(isinstance(send.message, wire.Error) for send in decision.sends)
        if isinstance(message, wire.Hello) and not refused:
            joined = [event for event in decision.events if isinstance(event, events.WorkerJoined)]
            self._peers.add(peer._replace(worker=joined[0].worker if joined else None), self._clock.now)
        elif isinstance(message, wire.AccessCreate) and not refused:
            self._say([Send(peer.route, self._access_keys(message.id))])
        elif isinstance(message, wire.AccessRevoke) and not refused:
            for revoked in self._peers.named(message.name):
                self._drop(revoked.route)

    # ------------------------------------------------------------------------ decide, apply

    def _decide(self, command: Command, cause: str) -> Decision:
        decision = decide(self._state, command, time.time())
        if decision.events:
            self._record(tuple(decision.events), cause)
        for wait in decision.waits:
            self._waits.add(wait, self._clock.now)
        self._say(decision.sends)
        return decision

    def _record(self, facts: tuple[events.Fact, ...], cause: str) -> None:
        entry = Entry(time.time(), cause, facts)
        apply(self._state, entry)
        self._entries.append(entry)
        self._dirty = True
        for fact in facts:
            if isinstance(fact, events.WorkerLost | events.WorkerDeleted):
                self._peers.forget_worker(fact.worker)

    def _tick(self) -> None:
        now = time.monotonic()
        if now < self._next_tick or self._writer.trouble:
            if self._writer.trouble:
                self._next_tick = now + TICK_SECONDS
            return
        self._next_tick = now + TICK_SECONDS
        for number in self._peers.silent(self._clock.now, self._settings.grace):
            self._decide(Silent(number), "grace over")
            self._peers.forget_worker(number)
        for number in self._peers.silent(self._clock.now, OFFLINE_BEATS * BEAT_SECONDS):
            worker = self._state.workers.get(number)
            if worker is not None and worker.status == "online":
                self._decide(Gone(number), "silence")
        if self._state.parts:
            self._decide(DropParts(time.time() - PARTS_KEPT_SECONDS), "parts never closed")
        self._compactor.tick(now)

    def _settle(self) -> None:
        if len(self._waits):
            self._say(self._waits.settle(self._state, self._clock.now))

    # ------------------------------------------------------------------------ durable, then out

    def _commit(self) -> None:
        if self._writer.in_flight is not None or not self._entries:
            return
        entries, self._entries = self._entries, []
        sends, self._held = self._held, []
        released, self._state.released = self._state.released, []
        self._writer.write(Round(events.encode(entries), self._store.take(), entries, sends, released))

    def _release(self) -> None:
        done = self._writer.durable()
        if done is None:
            return
        self._transmit(done.sends)
        self._say(self._followers.after(done.entries))
        for pointer in done.released:
            self._store.release(pointer)
        if done.released:
            self._compactor.reclaim(self._store)

    def _say(self, sends: list[Send]) -> None:
        """Send now, or when all that the messages may have seen is on disk."""
        if not sends:
            return
        if self._entries:
            self._held += sends
        elif self._writer.in_flight is not None:
            self._writer.in_flight.sends.extend(sends)
        else:
            self._transmit(sends)

    def _transmit(self, sends: list[Send]) -> None:
        for to, message in sends:
            route = self._peers.route_of(to) if isinstance(to, int) else to
            if route is None:
                continue
            try:
                frame = wire.encode(message)
            except TooLarge as problem:
                error = {"code": problem.code, "message": f"{problem}; ask for fewer rows"}
                frame = wire.encode(wire.Error(id=getattr(message, "id", None), error=error))
            try:
                self._socket.send_multipart([route, frame], zmq.NOBLOCK)
            except zmq.ZMQError:
                # Gone, or so slow that its queue is full: it will say hello again, and ask again.
                self._drop(route)

    def _drop(self, route: bytes) -> None:
        self._followers.drop(route)
        worker = self._peers.drop(route)
        if worker is not None and not self._writer.trouble:
            self._decide(Gone(worker), "connection gone")

    # ------------------------------------------------------------------------ answers that need the loop

    def _output(self, message: wire.Output) -> wire.Answer:
        stream = STREAMS.index(message.stream)
        attempt, kept, over = log_of(self._state, message.task, message.attempt, stream)
        limit = min(max(message.limit, 1), CHUNK_LIMIT * 4)
        offset, data, gap = read(self._store, kept, max(message.offset, 0), limit)
        following = offset + len(data)
        return wire.OutputPart(
            id=message.id,
            task=message.task,
            attempt=attempt,
            stream=message.stream,
            offset=offset,
            data=data,
            next=following,
            end=over and (not data or following >= kept.total),
            gap=gap,
            note=kept.note,
        )

    def _access_keys(self, request: int) -> wire.Answer:
        return wire.AccessKeys(id=request, server_key=self._keys.public, keys=tuple(self._state.access.values()))

    def _status(self, message: wire.Status) -> wire.Answer:
        counts: dict[str, int] = {}
        for batch in self._state.batches.values():
            for status, number in batch.counts.items():
                counts[status] = counts.get(status, 0) + number
        workers: dict[str, int] = {}
        for worker in self._state.workers.values():
            workers[worker.status] = workers.get(worker.status, 0) + 1
        notes = list(self._journal.notes)
        if self._writer.trouble:
            notes.append(f"the journal cannot be written at present: {self._writer.trouble}")
        if self._journal.tight:
            notes.append("the disk is nearly full: only ends of tasks are taken")
        return wire.StatusIs(
            id=message.id,
            mesh=self._state.mesh,
            epoch=self._state.epoch,
            version=scitq.__version__,
            pid=os.getpid(),
            started_at=self._started_at,
            batches=len(self._state.batches),
            counts=counts,
            workers=workers,
            refused_messages=self._refused,
            notes=tuple(notes),
        )
