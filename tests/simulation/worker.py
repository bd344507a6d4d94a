"""A model of a worker: holds, starts, ends and reports as a real one, in virtual time, with a disk that survives."""

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from scitq import wire
from scitq.model import MIB, Gpu, Outcome, Spec, Stream
from scitq.wire import Ref, Started

if TYPE_CHECKING:
    from tests.simulation.world import World

BEAT = 5.0
SILENCE = 15.0
RESEND = 10.0


class Job:
    """An attempt on this worker."""

    def __init__(self, spec: Spec) -> None:
        self.phase = "staged"  # staging | staged | running | confirming | uploading | ended
        self.uploads = bool(spec.output)
        self.spec = spec
        self.started_at = 0.0
        self.at_once = False  # given within the slots: what it asks for is free, says the broker
        self.outcome: Outcome | None = None
        self.suspended = False
        self.overdue = False  # its command would have ended, had it not been suspended


class Means(NamedTuple):
    """What a machine has; bytes in MiB."""

    cpus: int
    mem: int
    gpus: int
    disk: int
    engine: str = ""

    def has(self, slots: int, running: list[Spec], one: Spec) -> bool:
        """Whether this one may run beside those: of what it asks there is enough for all."""
        everyone = [*running, one]
        everything = "--gpus all" in one.container_options
        gpus = sum((self.gpus if "--gpus all" in spec.container_options else spec.gpu or 0) for spec in everyone)
        return (
            sum(spec.cpu or self.cpus / slots for spec in everyone) <= self.cpus + 1e-6
            and (not one.mem or sum(spec.mem or 0 for spec in everyone) <= self.mem * MIB)
            and (not one.disk or sum(spec.disk or 0 for spec in everyone) <= self.disk * MIB)
            and (not (one.gpu or everything) or gpus <= self.gpus)
        )


class ModelWorker:
    """One machine; `restart` keeps what runs (keepers), `die` loses it all; either may come back with less."""

    def __init__(self, world: "World", name: str, slots: int, prefetch: int, batch: str, *means: Means) -> None:
        self.world = world
        self.name = name
        self.slots = slots
        self.prefetch = prefetch
        self.batch = batch
        self.choice = means
        self.means = means[0]
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
            cpus=self.means.cpus,
            memory=self.means.mem * MIB,
            boot="b",
            engine=self.means.engine,
            gpus=(Gpu("T4", 16 * MIB),) * self.means.gpus,
            disk=self.means.disk * MIB,
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
        self._change()
        self.connect()

    def die(self) -> None:
        """The machine went down with all it held."""
        self.jobs.clear()
        self._change()
        self.connect()

    def _change(self) -> None:
        self.means = self.world.random.choice(self.choice)
        for job in self.jobs.values():
            job.at_once = False

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
        job = self.jobs[ref] = Job(wire.unpack_spec(assignment.spec))
        job.at_once = ref in self.world.within_slots
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
        """Start what is staged, unless the broker has been away for most of the grace.

        What was given within the slots begins at once; the rest in its order, when what it asks for is free and
        promised to nobody.
        """
        if self.world.now - self.heard_at > 0.8 * self.world.grace:
            return
        in_turn = True
        for ref, job in self.jobs.items():
            running = [other.spec for other in self.jobs.values() if other.phase == "running"]
            if len(running) >= self.slots:
                return
            if job.phase == "staged":
                if job.at_once and not self.means.has(self.slots, running, job.spec):
                    self.world.overloaded(self, ref, running)
                if not job.at_once:
                    promised = [o.spec for o in self.jobs.values() if o.at_once and o.phase in ("staging", "staged")]
                    in_turn = in_turn and self.means.has(self.slots, running + promised, job.spec)
                    if not in_turn:
                        continue
                job.phase = "running"
                job.started_at = self.world.now
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
        if self.world.measured and job.started_at:
            outcome = replace(outcome, run_seconds=self.world.now - job.started_at)
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
