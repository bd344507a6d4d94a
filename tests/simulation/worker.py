"""A model of a worker: holds, starts, ends and reports as a real one, in virtual time, with a disk that survives."""

from functools import partial
from typing import TYPE_CHECKING

from scitq import wire
from scitq.model import Outcome, Stream
from scitq.wire import Ref, Started

if TYPE_CHECKING:
    from tests.simulation.world import World

BEAT = 5.0
SILENCE = 15.0
RESEND = 10.0


class Job:
    """An attempt on this worker."""

    def __init__(self, *, uploads: bool) -> None:
        self.phase = "staged"  # staging | staged | running | confirming | uploading | ended
        self.uploads = uploads
        self.outcome: Outcome | None = None
        self.suspended = False
        self.overdue = False  # its command would have ended, had it not been suspended


class ModelWorker:
    """One machine; `restart` keeps what runs (keepers), `die` loses it all."""

    def __init__(self, world: "World", name: str, slots: int, prefetch: int, batch: str) -> None:
        self.world = world
        self.name = name
        self.slots = slots
        self.prefetch = prefetch
        self.batch = batch
        self.jobs: dict[Ref, Job] = {}
        self.connection = 0
        self.joined = False
        self.heard_at = 0.0
        self.ended: dict[Ref, str] = {}  # what truly became of each attempt here
        self.world.after(BEAT, self.beat)

    # ------------------------------------------------------------------------ the connection

    def connect(self) -> None:
        phases = {"confirming": "uploading", "staging": "staged"}
        held = tuple(
            wire.Held(ref=ref, phase=phases.get(job.phase, job.phase))  # type: ignore[arg-type]
            for ref, job in self.jobs.items()
        )
        enrol = wire.Enrolment(
            worker=f"id of {self.name}",
            name=self.name,
            mesh="mesh",
            batch=self.batch,
            concurrency=self.slots,
            prefetch=self.prefetch,
            hostname="h",
            cpus=1,
            memory=1,
            boot="b",
            held=held,
        )
        self.joined = False
        self.connection = self.world.connect(self)
        self.heard_at = max(self.heard_at, self.world.now - SILENCE + 5)
        self.say(wire.Hello(id=1, protocol=wire.PROTOCOL, enrol=enrol))

    def say(self, message: wire.Request) -> None:
        self.world.to_broker(self.connection, message)

    def report(self, **parts: object) -> None:
        if self.joined:
            self.say(wire.Report(**parts))  # type: ignore[arg-type]

    def beat(self) -> None:
        self.world.after(BEAT, self.beat)
        if self.joined:
            self.say(wire.Beat())
        if self.world.now - self.heard_at > SILENCE:
            self.connect()

    def restart(self) -> None:
        """The agent was killed; its keepers went on."""
        self.connect()

    def die(self) -> None:
        """The machine went down with all it held."""
        self.jobs.clear()
        self.connect()

    # ------------------------------------------------------------------------ what the broker says

    def hear(self, message: wire.Answer) -> None:
        self.heard_at = self.world.now
        if isinstance(message, wire.Welcome):
            self.joined = True
            for verdict in message.verdicts:
                self._judge(verdict)
            for ref in list(self.jobs):
                self._suspend(ref, on=ref in message.suspended)
        elif not self.joined:
            return
        match message:
            case wire.Assign(tasks=tasks):
                for assignment in tasks:
                    self._take(assignment)
            case wire.Recall(tasks=refs):
                self._recall(refs)
            case wire.Halt(tasks=refs):
                for ref in refs:
                    if ref in self.jobs and self.jobs[ref].phase != "ended":
                        self._end(ref, Outcome(status="cancelled", class_="cancelled"))
            case wire.Confirmed(tasks=refs):
                for ref in refs:
                    if ref in self.jobs and self.jobs[ref].phase == "confirming":
                        self._upload(ref)
            case wire.Suspend(tasks=refs) | wire.Resume(tasks=refs):
                for ref in refs:
                    self._suspend(ref, on=isinstance(message, wire.Suspend))
            case wire.Ack():
                for ref in message.ends:
                    self.jobs.pop(ref, None)
            case wire.Dismissed():
                self.jobs.clear()
                self.joined = False
        self.start()

    def _judge(self, verdict: wire.Verdict) -> None:
        job = self.jobs.get(verdict.ref)
        if job is None:
            return
        if verdict.do != "keep":
            del self.jobs[verdict.ref]
        elif job.phase == "ended":
            self._tell_end(verdict.ref)
        elif job.phase == "confirming":
            self.report(confirm=(verdict.ref,))

    def _take(self, assignment: wire.Assignment) -> None:
        """Some have inputs: these are staged first, and may fail there."""
        ref = assignment.ref
        if ref in self.jobs:
            return
        job = self.jobs[ref] = Job(uploads=bool(wire.unpack_spec(assignment.spec).output))
        if self.world.random.random() < 0.3:
            job.phase = "staging"
            self.report(started=(Started(ref, "staging", self.world.now),))
            self.world.after(self.world.random.choice([0.01, 3, 30]), partial(self._staged, ref))

    def _staged(self, ref: Ref) -> None:
        job = self.jobs.get(ref)
        if job is None or job.phase != "staging":
            return
        if self.world.random.random() < 0.1:
            self._end(ref, Outcome(status="failed", class_="download", reason="no such file"))
        else:
            job.phase = "staged"
        self.start()

    def _upload(self, ref: Ref) -> None:
        """Confirmed: the results go out; a failure there is the end, the run is not repeated for it."""
        self.jobs[ref].phase = "uploading"
        self.report(started=(Started(ref, "uploading", self.world.now),))
        failed = Outcome(status="failed", class_="upload", exit_code=0, reason="no room")
        outcome = failed if self.world.random.random() < 0.1 else Outcome(status="succeeded", exit_code=0)
        self.world.after(self.world.random.choice([0.01, 5]), partial(self._uploaded, ref, outcome))

    def _uploaded(self, ref: Ref, outcome: Outcome) -> None:
        if ref in self.jobs and self.jobs[ref].phase == "uploading":
            self._end(ref, outcome)

    def _recall(self, refs: tuple[Ref, ...]) -> None:
        staged = tuple(ref for ref in refs if ref in self.jobs and self.jobs[ref].phase in ("staging", "staged"))
        for ref in staged:
            del self.jobs[ref]
        self.report(returned=staged, kept=tuple(ref for ref in refs if ref not in staged))

    def _suspend(self, ref: Ref, *, on: bool) -> None:
        job = self.jobs.get(ref)
        if job is not None:
            job.suspended = on
            if job.overdue and not on:
                job.overdue = False
                self.finish(ref)

    # ------------------------------------------------------------------------ work

    def start(self) -> None:
        """Start what is staged, unless the broker has been away for most of the grace."""
        if self.world.now - self.heard_at > 0.8 * self.world.grace:
            return
        for ref, job in self.jobs.items():
            if sum(other.phase == "running" for other in self.jobs.values()) >= self.slots:
                return
            if job.phase == "staged":
                job.phase = "running"
                self.world.started(self, ref)
                self.world.after(self.world.random.choice([0.05, 1, 20]), partial(self.finish, ref))
                if self.world.random.random() < 0.8:  # else its end tells that it ran
                    self.report(started=(Started(ref, "running", self.world.now),))

    def finish(self, ref: Ref) -> None:
        """Its command is over."""
        job = self.jobs.get(ref)
        if job is None or job.phase != "running":
            return
        if job.suspended:
            job.overdue = True
            return
        if self.world.random.random() < 0.3:
            self._end(ref, Outcome(status="failed", class_="exit", exit_code=1))
        elif job.uploads:
            job.phase = "confirming"
            self.report(confirm=(ref,))
        else:
            self._end(ref, Outcome(status="succeeded", exit_code=0, stdout=Stream(3, 3, 3)))
        self.start()

    def _end(self, ref: Ref, outcome: Outcome) -> None:
        job = self.jobs[ref]
        job.phase, job.outcome = "ended", outcome
        self.ended[ref] = outcome.status
        self._tell_end(ref)

    def _tell_end(self, ref: Ref) -> None:
        job = self.jobs.get(ref)
        if job is None or job.outcome is None:
            return
        stdout = b"abc" if job.outcome.stdout.total else b""
        self.report(ends=(wire.End(ref, job.outcome, self.world.now, self.world.now, stdout),))
        self.world.after(RESEND, lambda: self._tell_end(ref))
