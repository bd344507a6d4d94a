"""All attempts on this machine: each event moves one by the lifecycle, each instruction is carried out here."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import Literal

import msgspec

from scitq.errors import ScitqError
from scitq.model import Class
from scitq.node import folders, orders, outcome
from scitq.node.crew import Crew
from scitq.node.environment import Environment, ImpossibleOwner, encoded, owner_of
from scitq.node.folders import Folders
from scitq.node.job import Job, Saved, Staged, Uploaded, adopted, name_of, unpack_carried
from scitq.node.keepers import KeeperPool
from scitq.node.lifecycle import HELD_AS, Do, Event, IllegalMove, step
from scitq.node.outbox import Outbox
from scitq.node.resources import Resources
from scitq.node.say import say
from scitq.node.staging import NotStaged, stage, upload
from scitq.wire import Ack, Assignment, Chunk, End, Held, Ref, Started, StreamName, Verdict

SLOW_UPLOAD = 30.0  # seconds after which the broker is asked once more before the end
TERMINATE_GRACE = 10.0  # seconds from SIGTERM to SIGKILL
AHEAD_SECONDS = 0.2  # of work that keepers may have queued, while tasks are known to be short
AHEAD_LIMIT = 8  # orders queued per keeper, at most
UNCERTAIN = ("handed", "asked", "withheld")


class Jobs:
    """The attempts of one mesh in one scratch folder.

    `now` is the monotonic time of the round; the agent sets it, and whether orders `may_start` to leave.
    """

    def __init__(
        self,
        base: Path,
        mesh: str,
        *,
        concurrency: int,
        cpus: int,
        environment: Environment,
        resources: Resources,
        crew: Crew,
    ) -> None:
        self.now = time.monotonic()
        self.may_start = True
        self.outbox = Outbox(base / "outbox")
        self.pool = KeeperPool(base, mesh=mesh, limit=concurrency)
        self._folders = Folders(str(base / "tasks"))
        self._cpus = cpus
        self._environment = environment
        self._resources = resources
        self._crew = crew
        self._jobs: dict[str, Job] = {}
        self._places = 0
        self._ready: deque[Job] = deque()  # in the order of their places
        self._ordered: set[str] = set()  # what keepers have, started or not
        self._discarded: list[Job] = []
        self._mean: float | None = None  # seconds that commands ran of late
        self._do: dict[Do, Callable[[Job], None]] = {
            "start": self._start,
            "take_back": lambda job: self.pool.take_back(job.name),
            "stop": self._stop,
            "kill": lambda job: self.pool.kill(job.name, "dropped"),
            "suspend": lambda job: self.pool.suspend(job.name),
            "resume": lambda job: self.pool.resume(job.name),
            "confirm": lambda job: self.outbox.confirm(job.ref, self.now),
            "upload": self._upload,
            "abandon": self._abandon,
            "tell_started": self._tell_started,
            "tell_uploading": lambda job: self._tell(job, "uploading", time.time()),
            "tell_returned": lambda job: self.outbox.returned(job.ref, self.now),
            "tell_kept": lambda job: self.outbox.kept(job.ref, self.now),
            "finish": self._finish,
            "resend": lambda job: self.outbox.resend(job.name, self.now),
            "discard": self._discarded.append,
        }

    # Joining

    def adopt(self) -> None:
        """Take over what an earlier agent left: commands that run, ends that nobody has acknowledged."""
        over: list[Job] = []
        for held in self.pool.adopt():
            try:
                job = adopted(unpack_carried(held.spec))
            except (msgspec.DecodeError, ScitqError) as problem:
                say(f"the keepers hold attempt {held.name}, which this program cannot read: {problem}")
                continue
            self._add(job)
            job.suspended = held.suspended
            if held.state in ("queued", "running"):
                self._ordered.add(job.name)
                job.phase = "handed" if held.started is None else "running"
                job.started_at = None if held.started is None else held.started.wall
                self.outbox.wrote(job.name, job.ref, held.out, held.err, self.now)
            else:
                job.phase = "running"
                self._note_end(job, held.end)
                over.append(job)
        for name, saved in self.outbox.load():
            job = self._jobs.get(name) or self._add(adopted(saved.carried))
            job.phase = "ended"
            job.status = saved.end.outcome.status
            self.outbox.end(name, saved.end, self.now)
        for job in over:
            if job.phase == "running":
                self._over(job)
        self._folders.sweep(set(self._jobs))
        self.outbox.sweep(set(self._jobs))

    def held(self) -> tuple[Held, ...]:
        """What `hello` lists."""
        return tuple(
            Held(ref=job.ref, phase=HELD_AS[job.phase]) for job in self._jobs.values() if job.phase in HELD_AS
        )

    def rejoin(self, verdicts: Iterable[Verdict], suspended: Sequence[Ref]) -> None:
        """Carry out what the broker said of all that was listed."""
        for verdict in verdicts:
            job = self._jobs.get(name_of(verdict.ref))
            if job is None:
                continue
            if verdict.do == "keep":
                self.outbox.rejoined(job.name, job.ref, self.now)
                self._advance(job, "rejoined")
            elif verdict.do == "forget" and job.phase == "ended":
                self._advance(job, "settled")
            else:
                self._advance(job, "drop")
        stopped = set(suspended)
        for job in list(self._jobs.values()):
            if job.suspended != (job.ref in stopped):
                self.suspend([job.ref], on=job.ref in stopped)

    # What the broker orders

    def assign(self, tasks: Iterable[Assignment]) -> None:
        """Take attempts over: stage them, or have them wait for room."""
        for assignment in tasks:
            name = name_of(assignment.ref)
            if name in self._jobs:
                continue
            job = self._add(Job(assignment.ref, bytes(assignment.spec)))
            spec = job.spec
            try:
                owner = owner_of(spec)
            except ImpossibleOwner as problem:
                self._cannot_start(job, "exit", str(problem))
                continue
            if spec.container:
                self._cannot_start(job, "image", "containers come with a later release")
            elif spec.inputs or spec.resources:
                job.phase = "staging"
                job.stop = Flag()
                self._tell(job, "staging", time.time())
                work = partial(stage, name, spec, owner, self._folders, self._resources, job.stop)
                self._crew.do(work, partial(self._staged, job))
            else:
                self._ready.append(job)

    def recall(self, refs: Iterable[Ref]) -> None:
        """The broker wants these back if they have not started."""
        for ref in refs:
            if job := self._jobs.get(name_of(ref)):
                self._advance(job, "recall")
            else:
                self.outbox.kept(ref, self.now)

    def halt(self, refs: Iterable[Ref], *, terminate: bool) -> None:
        """End these, as cancelled."""
        for ref in refs:
            if job := self._jobs.get(name_of(ref)):
                job.halted = "terminate" if terminate else "kill"
                self._advance(job, "halt")

    def suspend(self, refs: Iterable[Ref], *, on: bool) -> None:
        """Let these stand still, or go on; what has not started yet will, at its start."""
        for ref in refs:
            if job := self._jobs.get(name_of(ref)):
                job.suspended = on
                self._advance(job, "suspend" if on else "resume")

    def confirmed(self, refs: Iterable[Ref]) -> None:
        """These are current: their output may be stored."""
        for ref in refs:
            if job := self._jobs.get(name_of(ref)):
                self._advance(job, "confirmed")

    def acknowledged(self, ack: Ack) -> None:
        """The broker has these ends and these bytes, or wants bytes again, or no more of them."""
        for mark in ack.logs:
            self.outbox.landed(name_of(mark.ref), mark, self.now)
        for mark in ack.refused:
            self.outbox.refused(name_of(mark.ref), mark, self.now)
        for mark in ack.wanted:
            self.outbox.wanted(name_of(mark.ref), mark, self.now)
        for ref in ack.ends:
            if job := self._jobs.get(name_of(ref)):
                self._advance(job, "settled")

    def drop_all(self) -> None:
        """End all of it without a word to the broker."""
        for job in list(self._jobs.values()):
            self._advance(job, "drop")

    def withhold(self) -> None:
        """Have keepers give back what has not started."""
        for name in list(self._ordered):
            self._advance(self._jobs[name], "withhold")

    # What happens here

    def hear(self) -> None:
        """Take up what the keepers tell."""
        for event in self.pool.events():
            job = self._jobs.get(event.name)
            if job is None:
                if isinstance(event, orders.Ended | orders.Lost):
                    self.pool.acknowledge(event.name)
            elif isinstance(event, orders.Started):
                job.started_at = event.wall
                self._advance(job, "started")
            elif isinstance(event, orders.Ended | orders.Lost):
                self._note_end(job, event)
                self._over(job)
            elif isinstance(event, orders.Output):
                self.outbox.wrote(job.name, job.ref, event.out, event.err, self.now)
            elif isinstance(event, orders.LiveOutput):
                stream: StreamName = "stdout" if event.stream == "out" else "stderr"
                self.outbox.live(Chunk(job.ref, stream, event.offset, event.data, live=True), self.now)
            elif isinstance(event, orders.Returned):
                self._ordered.discard(job.name)
                self._advance(job, "returned")
                if job.phase == "ready":
                    self._ready = deque(sorted([job, *self._ready], key=lambda job: job.place))
            elif isinstance(event, orders.AlreadyStarted):
                self._advance(job, "too_late")
            else:
                self._ordered.discard(job.name)
                self._cannot_start(job, "lost", f"its keeper refused it: {event.reason}")

    def dispatch(self) -> None:
        """Give keepers what they have room for, first come first served."""
        room = self.pool.limit + self._ahead()
        while self._ready and self.may_start and len(self._ordered) < room:
            job = self._ready.popleft()
            if job.phase == "ready":
                self._advance(job, "room")

    def tidy(self) -> None:
        """Clear away what is settled: files and folder first, then the record that would tell of them again."""
        for job in self._discarded:
            self.outbox.forget(job.name)
            path = self._folders.path(job.name)
            forget = partial(self._forget, job)
            if job.status == "failed" or (job.status == "cancelled" and job.started_at is not None):
                if job.spec.resources:
                    self._crew.do(partial(folders.remove, f"{path}/resource"), forget)
                else:
                    forget(None)
            elif self._folders.take_back(job.name):
                forget(None)
            else:
                self._crew.do(partial(folders.remove, path), forget)
        self._discarded.clear()

    @property
    def certain(self) -> bool:
        """Whether it is known of everything that keepers have whether it has started."""
        return not any(self._jobs[name].phase in UNCERTAIN for name in self._ordered)

    @property
    def busy(self) -> bool:
        """Whether more work is queued here than keepers carry out now."""
        return bool(self._ready) or len(self._ordered) > self.pool.limit

    @property
    def empty(self) -> bool:
        """Whether nothing is held at all."""
        return not self._jobs

    def close(self) -> None:
        """Let go: keepers keep what runs, the disk what has ended."""
        self.pool.close()

    def _add(self, job: Job) -> Job:
        self._places += 1
        job.place = self._places
        self._jobs[job.name] = job
        return job

    def _advance(self, job: Job, event: Event) -> None:
        try:
            job.phase, instructions = step(job.phase, event)
        except IllegalMove as fault:
            say(f"attempt {job.name}: {fault} (this is a fault of scitq; the event is ignored)")
            return
        for do in instructions:
            self._do[do](job)
        if job.phase == "gone":
            self._jobs.pop(job.name, None)

    def _ahead(self) -> int:
        """How many orders may wait inside keepers: none while tasks are long, or nothing is known of them."""
        if self._mean is None:
            return 0
        count = int(AHEAD_SECONDS / max(self._mean, 0.001) * self.pool.limit)
        return min(count, AHEAD_LIMIT * self.pool.limit) if self._mean < AHEAD_SECONDS / 2 else 0

    def _staged(self, job: Job, result: object) -> None:
        if job.phase != "staging":  # abandoned meanwhile
            path = self._folders.path(job.name)
            self._crew.do(partial(folders.remove, path), lambda _: None)
        elif isinstance(result, Staged):
            job.staged = result
            self._advance(job, "staged")
            self._ready.append(job)
        elif isinstance(result, NotStaged):
            job.staged = result.staged
            job.problem = (result.class_, result.reason)
            self._advance(job, "not_staged")
        else:
            job.problem = ("download", f"{type(result).__name__}: {result}")
            self._advance(job, "not_staged")

    def _uploaded(self, job: Job, result: object) -> None:
        if job.phase != "uploading":
            return
        if not isinstance(result, Uploaded):
            result = Uploaded(problem=f"{type(result).__name__}: {result}")
        job.uploaded = result
        slow = result.seconds > SLOW_UPLOAD and not result.problem
        self._advance(job, "uploaded_slowly" if slow else "uploaded")

    def _note_end(self, job: Job, end: orders.Ended | orders.Lost | None) -> None:
        self._ordered.discard(job.name)
        job.ended = end
        if isinstance(end, orders.Ended):
            if end.problem is None:
                job.started_at = end.wall_start
                self._mean = end.seconds if self._mean is None else 0.8 * self._mean + 0.2 * end.seconds
            self.outbox.shipping.ended(job.name, job.ref, end.out, end.err)
        elif end is not None:
            job.started_at = end.wall_start

    def _over(self, job: Job) -> None:
        waits = job.spec.output and isinstance(job.ended, orders.Ended) and job.ended.problem is None
        self._advance(job, "output_waits" if waits else "done")

    def _cannot_start(self, job: Job, class_: Class, reason: str) -> None:
        job.problem = (class_, reason)
        self._advance(job, "done")

    # Instructions

    def _start(self, job: Job) -> None:
        spec = job.spec
        try:
            owner = owner_of(spec)
            if spec.inputs or spec.resources:
                folder = self._folders.path(job.name)
            elif owner is None:
                folder = self._folders.make(job.name)
            else:
                folder = self._folders.make_for(job.name, owner)
        except OSError as problem:
            self._cannot_start(job, "lost", f"no folder for it on the worker: {problem}")
            return
        limit = spec.log_limit
        head = None if limit is None else limit // 2
        cpus = max(1, self._cpus // self.pool.limit)
        self._ordered.add(job.name)
        self.pool.start(
            orders.Order(
                name=job.name,
                argv=[encoded(word) for word in spec.command],
                env=self._environment.of(spec, owner, folder, cpus),
                folder=os.fsencode(folder + "/tmp"),  # noqa: S108 - the task's own
                uid=None if owner is None else owner.uid,
                gid=None if owner is None else owner.gid,
                timeout=spec.run_timeout,
                head=head,
                tail=0 if limit is None or head is None else limit - head,
                spec=msgspec.msgpack.encode(job.carried),
            )
        )

    def _stop(self, job: Job) -> None:
        if job.halted == "terminate":
            self.pool.terminate(job.name, "halted", TERMINATE_GRACE)
        else:
            self.pool.kill(job.name, "halted")

    def _upload(self, job: Job) -> None:
        job.stop = Flag()
        folder = f"{self._folders.path(job.name)}/output"
        self._crew.do(partial(upload, folder, job.spec.output, job.stop), partial(self._uploaded, job))

    def _abandon(self, job: Job) -> None:
        if job.stop is not None:
            job.stop.set()

    def _tell_started(self, job: Job) -> None:
        self._tell(job, "running", job.started_at or time.time())
        if job.suspended:
            self.pool.suspend(job.name)

    def _tell(self, job: Job, phase: Literal["staging", "running", "uploading"], at: float) -> None:
        self.outbox.started(job.name, Started(job.ref, phase, at), self.now)

    def _finish(self, job: Job) -> None:
        end = job.ended
        out = err = b""
        if isinstance(end, orders.Ended):
            result = outcome.ended(end, job.staged, job.uploaded, halted=bool(job.halted))
            out, err = end.out.inline or b"", end.err.inline or b""
        elif isinstance(end, orders.Lost):
            result = outcome.lost(end, job.staged)
        elif job.problem is not None:
            result = outcome.unstarted(*job.problem, job.staged)
        else:
            result = outcome.unstarted("cancelled", "stopped before it started", job.staged)
        over = end.wall_end if isinstance(end, orders.Ended) and not job.spec.output else time.time()
        job.status = result.status
        told = End(job.ref, result, job.started_at, over, out, err)
        if end is None or job.halted or job.spec.output:  # a keeper's record alone would tell another end
            self.outbox.save(job.name, Saved(job.carried, told))
        self.outbox.end(job.name, told, self.now)

    def _forget(self, job: Job, _: object) -> None:
        if job.ended is not None:
            self.pool.acknowledge(job.name)
