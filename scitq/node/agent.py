"""The agent of a worker: one thread, one DEALER, one poll loop. It joins, beats, carries out and reports.

A round: hear the broker, hear the keepers, take up what the threads did, give the keepers what they have room for,
then report, and only then clear away. What the broker has not acknowledged outlives the agent: keepers hold the
commands, the outbox their ends and output.
"""

import math
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Literal

import zmq

from scitq import __version__, wire
from scitq.errors import BadMessage, Refused, Unavailable, WrongKey, from_code
from scitq.model import Gpu
from scitq.node import gpu_tools, shared
from scitq.node.carry import Tools
from scitq.node.containers.engine import Login
from scitq.node.containers.images import Images
from scitq.node.containers.presence import Presence
from scitq.node.crew import Crew
from scitq.node.disk import Disk
from scitq.node.environment import Environment
from scitq.node.jobs import Jobs
from scitq.node.link import HANDSHAKE_FAILED, Link
from scitq.node.probe import Machine
from scitq.node.progress import Progress
from scitq.node.resources.cache import Resources
from scitq.node.say import say
from scitq.node.scratch import Scratch
from scitq.node.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from scitq.node.gpus import Device

BEAT = 5.0  # seconds, until the broker says otherwise
SILENT_BEATS = 4  # without a word from the broker: the connection is made anew
PATIENCE = 3.0  # seconds without a handshake until it is said
SETTLE = 1.0  # seconds that keepers may take to say what has started, and drivers what GPUs there are, before `hello`
WELCOME = 20.0  # seconds to wait for a welcome after `hello`
LISTED = 1_000  # resources, or lines, in one answer
RELIEF = 10.0  # seconds between two looks at how full the disk is
ENGINE_GRACE = 10.0  # seconds that the container engine may take to be back, with what was staged for it
LEAVE = 15.0  # seconds that a dismissed worker gives what it ends
GOODBYE_MS = 500


class Agent:
    """One agent on one locked scratch folder."""

    def __init__(self, settings: Settings, scratch: Scratch, machine: Machine) -> None:
        self._settings = settings
        self._scratch = scratch
        self._machine = machine
        self._gpus: list[Device] = []  # filled when their makers' programs have told of them
        self._asks_for_gpus = True
        self._concurrency = max(1, settings.concurrency)
        self._crew = Crew()
        self._presence = Presence(self._crew)
        self._announced: tuple[str, int] = ("", 0)  # the container engine and the GPUs that the broker was told of
        self._crew.do("engine", gpu_tools.detect, self._found_gpus)
        disk = Disk(scratch.folder)
        progress = Progress()
        self._tools = Tools(
            cpus=machine.cpus,
            memory=machine.memory,
            gpus=self._gpus,
            environment=Environment(settings.path),
            resources=Resources(scratch.resources, disk, progress),
            disk=disk,
            crew=self._crew,
            presence=self._presence,
            images=Images(self._presence, self._crew, progress),
            progress=progress,
            worker=scratch.worker,
            scratch=str(scratch.folder),
            data=shared.found(settings.data),
        )
        self._link = Link(settings.server)
        self._poller = zmq.Poller()
        self._signals, self._signalled = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._beat = BEAT
        self._hellos = 0
        self._stand: Literal["closed", "connecting", "settling", "greeted", "joined"] = "closed"
        self._next = 0.0  # when this stand lasts no longer
        self._known = False  # the broker has welcomed us at least once
        self._waited = False  # past the grace
        self._reached = False  # something is at the address
        self._turned_away = 0  # how often it hung up instead of greeting
        self._complained = False  # of not being let in, since the last welcome
        self._leaving = ""  # why, once we were dismissed
        self._leave_at = math.inf
        self._beat_at = 0.0
        self._relieve_at = 0.0
        self._heard_at = self._away_since = self._round_at = time.monotonic()
        self._engineless = False  # what waited for the container engine was given back
        self._jobs = self._take_over()
        self._hear: dict[type[wire.Message], Callable[[Any], None]] = {
            wire.Assign: lambda message: self._jobs.assign(message.tasks),
            wire.Ack: lambda message: self._jobs.acknowledged(message),  # noqa: PLW0108 - jobs change with the mesh
            wire.Recall: lambda message: self._jobs.recall(message.tasks),
            wire.Halt: lambda message: self._jobs.halt(message.tasks, terminate=message.terminate),
            wire.Suspend: lambda message: self._jobs.suspend(message.tasks, on=True),
            wire.Resume: lambda message: self._jobs.suspend(message.tasks, on=False),
            wire.Confirmed: lambda message: self._jobs.confirmed(message.tasks),
            wire.Settings: lambda message: self._set(message.concurrency),
            wire.WorkerResources: self._list_resources,
            wire.WorkerClean: self._clean,
            wire.WorkerProgress: self._tell_progress,
            wire.Logins: self._on_logins,
            wire.Welcome: self._on_welcome,
            wire.Dismissed: self._on_dismissed,
            wire.Error: self._on_error,
        }

    def run(self) -> int:
        """Serve until a signal or the broker ends it; the exit code.

        Raises:
            ScitqError: the broker does not want this worker.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        woken = signal.set_wakeup_fd(self._signalled)
        try:
            while True:
                readable = self._round()
                left = self._jobs.empty and self._crew.idle
                if self._leaving and (left or self._round_at >= self._leave_at):
                    say(f"dismissed: {self._leaving}")
                    return 0
                if self._signals in readable:
                    if self._stand in ("greeted", "joined"):
                        self._link.send(wire.Bye())
                    return 0
        finally:
            signal.set_wakeup_fd(woken)
            self._jobs.close()
            self._link.end(GOODBYE_MS)

    # The round

    def _round(self) -> set[object]:
        readable = self._wait()
        now = time.monotonic()
        if now - self._round_at > 2 * self._beat:  # it was this process that was away: hear first, judge then
            self._heard_at = now
        self._round_at = self._jobs.outbox.now = now
        if self._link.socket in readable:
            for frame in self._link.frames():
                self._receive(frame)
        self._jobs.hear()
        if self._crew.fileno() in readable:
            self._crew.finish()
        self._keep_connected(self._link.news() if self._link.watch in readable else 0, now)
        self._jobs.dispatch()
        self._jobs.pool.flush()
        if self._stand == "joined":
            self._report(now)
        self._jobs.tidy()
        self._jobs.measuring.tick(now)
        self._jobs.watch()
        self._presence.tick(now)
        self._give_up_engine(now)
        self._relieve(now)
        if self._stand == "joined" and self._announced != self._to_announce:
            say(f"the broker is told anew what is here: {str(self._presence) or 'no engine'}, {len(self._gpus)} GPUs")
            self._away_since = self._heard_at
            self._link.close()
            self._stand, self._next = "closed", now
            self._watch()
        if not self._jobs.busy:
            self._jobs.pool.flush()
        return readable

    def _relieve(self, now: float) -> None:
        """Have room made when tasks, or other programs, have filled the disk."""
        if now >= self._relieve_at:
            self._relieve_at = now + RELIEF
            if self._tools.disk.is_low:
                self._relieve_at = math.inf
                self._crew.do("clearing", self._tools.disk.relieve, self._relieved)

    @property
    def _to_announce(self) -> tuple[str, int]:
        return str(self._presence), len(self._gpus)

    def _found_gpus(self, found: object) -> None:
        self._asks_for_gpus = False
        if isinstance(found, tuple):
            self._gpus.extend(found)
        else:
            say(f"no GPU is given to tasks, by a defect of scitq, please report it: {found!r}")

    def _give_up_engine(self, now: float) -> None:
        """Have other workers take what waits for a container engine that has been away for long."""
        away = now >= self._presence.away_since + ENGINE_GRACE
        if away and not self._engineless:
            self._jobs.return_containers()
        self._engineless = away

    def _relieved(self, _: object) -> None:
        self._relieve_at = time.monotonic() + RELIEF

    def _report(self, now: float) -> None:
        if now >= self._jobs.outbox.due(busy=self._jobs.busy):
            for report in self._jobs.outbox.reports():
                self._link.send(report)
        if now >= self._beat_at:
            self._beat_at = now + self._beat
            self._link.send(wire.Beat())

    def _wait(self) -> set[object]:
        """Sleep until something is to be read or due; what can be read."""
        if self._jobs.pool.pending:
            return self._poll_until(0.0)
        due = min(self._next, self._leave_at, self._jobs.measuring.due, self._jobs.pool.due(), self._presence.due)
        if self._stand == "joined":
            due = min(due, self._beat_at, self._jobs.outbox.due(busy=self._jobs.busy))
            return self._poll_until(due)
        if not self._complained and not self._known:
            due = min(due, self._away_since + PATIENCE)
        if not self._waited:
            due = min(due, self._away_since + self._settings.grace)
        return self._poll_until(due)

    def _poll_until(self, due: float) -> set[object]:
        left = min(due - time.monotonic(), self._beat)
        return {one for one, _ in self._poller.poll(max(0, math.ceil(left * 1000)))}

    def _watch(self) -> None:
        """Have the poll look at what there is to look at now."""
        self._poller = zmq.Poller()
        for descriptor in (self._signals, self._crew.fileno(), self._jobs.pool.fileno()):
            self._poller.register(descriptor, zmq.POLLIN)
        if self._link.socket is not None:
            self._poller.register(self._link.socket, zmq.POLLIN)
        if self._link.watch is not None:
            self._poller.register(self._link.watch, zmq.POLLIN)

    # The connection

    def _keep_connected(self, news: int, now: float) -> None:
        """The stands: closed -> connecting -> settling -> greeted -> joined, and back to closed from any of them.

        From the moment that a `hello` can leave until its welcome nothing starts here: what it lists as not started
        may be taken for given back.
        """
        if news & HANDSHAKE_FAILED:
            self._on_wrong_key()
        if news & zmq.EVENT_CONNECTED:
            self._reached = True
        if news & zmq.EVENT_DISCONNECTED:
            self._turned_away += self._stand == "connecting"
            self._break("the connection ended", now)
        elif news & zmq.EVENT_HANDSHAKE_SUCCEEDED and self._stand == "connecting":
            self._stand, self._next = "settling", now + SETTLE
            self._jobs.withhold()
        elif self._stand == "joined" and now > self._heard_at + SILENT_BEATS * self._beat:
            self._break("it is silent", now)
        elif self._stand == "greeted" and now > self._next:
            self._break("no welcome came", now)
        if self._stand == "settling":
            settled = self._jobs.certain and not self._asks_for_gpus
            if settled or now > self._next:
                self._greet(now)
        if self._stand == "closed" and now >= self._next:
            self._stand, self._next = "connecting", math.inf
            self._link.open()
            self._watch()
        if not self._known and not self._complained and now > self._away_since + PATIENCE:
            self._complained = True
            self._explain_silence()
        if not self._waited and self._stand != "joined" and now > self._away_since + self._settings.grace:
            self._waited = True
            if not (self._known and self._complained):
                say(f"no broker for {self._settings.grace:g} s: nothing more is started until it is back")
            self._jobs.withhold()
        away = self._stand in ("closed", "connecting")
        self._jobs.may_start = self._stand == "joined" or (away and not self._waited)

    def _on_wrong_key(self) -> None:
        """A worker that was never let in leaves; one whose key is refused of late keeps what it holds."""
        line = f"{self._settings.server.address} does not accept this worker's key"
        if not self._known:
            raise WrongKey(line)
        if not self._complained:
            self._complained = True
            say(
                f"{line} any more: what runs goes on, and it is tried again;"
                f" nothing more is started after {self._settings.grace:g} s"
            )

    def _explain_silence(self) -> None:
        address = self._settings.server.address
        if not self._reached:
            say(f"no broker answers at {address} yet; trying on")
        elif self._settings.server.server_key and self._turned_away > 1:  # once, and it may have been dying
            say(f"something answers at {address}, but not with the server key of this worker's access file")
        else:
            say(f"what answers at {address} takes the connection and says nothing; trying on")

    def _break(self, why: str, now: float) -> None:
        """Let the connection go; a new one, with a fresh routing id, follows after a pause."""
        if self._stand == "joined":
            if not self._complained:
                say(f"the broker is away ({why}); what runs goes on")
            self._away_since = self._heard_at  # the broker counts its grace from the last word, too
        self._link.close()
        self._stand, self._next = "closed", now + self._link.pause()
        self._watch()

    def _greet(self, now: float) -> None:
        """Say who we are and what we hold."""
        self._stand, self._next = "greeted", now + WELCOME
        self._jobs.outbox.greet()
        self._hellos += 1
        self._announced = self._to_announce
        self._jobs.pool.sweep()
        self._link.send(
            wire.Hello(
                id=self._hellos,
                protocol=wire.PROTOCOL,
                version=__version__,
                enrol=wire.Enrolment(
                    worker=self._scratch.worker,
                    name=self._settings.name or self._machine.hostname,
                    mesh=self._scratch.mesh,
                    again=self._known,
                    batch=self._settings.batch,
                    concurrency=self._settings.concurrency,
                    prefetch=self._settings.prefetch,
                    hostname=self._machine.hostname,
                    cpus=self._machine.cpus,
                    memory=self._machine.memory,
                    boot=self._machine.boot,
                    engine=self._announced[0],
                    gpus=tuple(Gpu(one.name, one.memory) for one in self._gpus),
                    disk=self._tools.disk.most(),
                    held=self._jobs.held(),
                ),
            )
        )

    def _take_over(self) -> Jobs:
        """The attempts of the present mesh, with what an earlier agent left of them."""
        jobs = Jobs(self._scratch.base, self._scratch.mesh, self._concurrency, self._tools)
        jobs.adopt()
        return jobs

    # What the broker says

    def _receive(self, frame: bytes) -> None:
        self._heard_at = self._round_at
        try:
            message = wire.decode_answer(frame)
        except BadMessage as problem:
            say(f"a message of the broker cannot be read: {problem}")
            return
        hear = self._hear.get(type(message))
        if hear is None:
            say(f"the broker sent a message that is not for workers: {type(message).__name__}")
        elif self._stand == "joined" or isinstance(message, wire.Welcome | wire.Error | wire.Dismissed):
            hear(message)

    def _on_welcome(self, welcome: wire.Welcome) -> None:
        if welcome.id != self._hellos or self._stand != "greeted":
            return
        if welcome.mesh != self._scratch.mesh:
            self._change_mesh(welcome.mesh)
            if not self._jobs.empty:  # it has to hear of them
                self._link.close()
                self._stand, self._next = "closed", self._round_at
                return
        name = welcome.worker or self._settings.name
        say(f"{'joined' if not self._known else 'back in'} mesh {welcome.mesh} as {name}")
        self._stand, self._next = "joined", math.inf
        self._known, self._waited, self._complained = True, False, False
        self._tools.images.logins = {}
        self._link.succeeded()
        if welcome.beat_seconds > 0:
            self._beat = welcome.beat_seconds
        self._beat_at = self._round_at + self._beat
        self._set(welcome.concurrency)
        self._jobs.rejoin(welcome.verdicts, welcome.suspended)

    def _change_mesh(self, mesh: str) -> None:
        """What is held of the mesh before stays in its folder, unsent, until the worker is back in that one."""
        unfinished = not self._jobs.empty
        if unfinished:
            say(f"what {self._scratch.base} holds of mesh {self._scratch.mesh} is set aside until it is back")
        self._jobs.close()
        self._scratch.join(mesh, unfinished=unfinished)
        self._jobs = self._take_over()
        self._engineless = False
        self._watch()

    def _list_resources(self, message: wire.WorkerResources) -> None:
        def tell(found: object) -> None:
            if isinstance(found, tuple):
                more = max(0, len(found) - LISTED)
                self._answer(wire.ResourceList(id=message.id, resources=found[:LISTED], more=more))

        self._crew.do("checking", self._tools.resources.listed, tell)

    def _tell_progress(self, message: wire.WorkerProgress) -> None:
        self._answer(wire.ProgressIs(id=message.id, lines=self._jobs.progress(message.task)[:LISTED]))

    def _clean(self, message: wire.WorkerClean) -> None:
        def tell(removed: object) -> None:
            if isinstance(removed, tuple):
                self._answer(wire.Cleaned(id=message.id, folders=removed[0], bytes=removed[1]))

        self._crew.do("clearing", self._jobs.clean, tell)

    def _answer(self, message: wire.Message) -> None:
        """Whoever asked is told by the broker when this worker left meanwhile."""
        if self._stand == "joined":
            self._link.send(message)

    def _on_logins(self, message: wire.Logins) -> None:
        """They stay in memory: who pulls as whom is told anew at every welcome."""
        self._tools.images.logins = {login.registry: Login(login.user, login.password) for login in message.logins}

    def _on_dismissed(self, message: wire.Dismissed) -> None:
        self._leaving = message.reason
        self._leave_at = self._round_at + LEAVE
        self._jobs.drop_all()

    def _on_error(self, message: wire.Error) -> None:
        """A hello that is refused ends the agent, unless the broker only cannot answer now."""
        error = from_code(message.error.get("code", ""), message.error.get("message", "no reason given"))
        if isinstance(error, Refused) and self._known:
            self._on_wrong_key()
        elif self._stand == "greeted" and message.id == self._hellos and not isinstance(error, Unavailable):
            raise error
        self._break(str(error), self._round_at)

    def _set(self, concurrency: int) -> None:
        """How many run at once from now on; how many it is handed ahead is the broker's own business."""
        self._concurrency = max(1, concurrency)
        self._jobs.pool.limit = self._concurrency
