"""All attempts on this machine: whatever the broker, the keepers and the threads say moves one by the lifecycle."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from scitq.errors import ScitqError
from scitq.node import orders, outcome
from scitq.node.carry import Carrier, Tools
from scitq.node.cgroups import PASSED
from scitq.node.environment import ImpossibleOwner, owner_of
from scitq.node.job import Job, Staged, adopted, name_of, unpack_carried
from scitq.node.lifecycle import HELD_AS, Event, IllegalMove, step
from scitq.node.measuring import Measuring
from scitq.node.progress import of_image, of_resource
from scitq.node.sampler import Root
from scitq.node.say import say
from scitq.node.shared import located
from scitq.wire import Ack, Assignment, Chunk, End, Held, Ref, StreamName, Verdict

AHEAD_SECONDS = 0.2  # of work that keepers may have queued, while tasks are known to be short
AHEAD_LIMIT = 8  # orders queued per keeper, at most
NOT_STARTED = ("staging", "ready", "handed", "withheld")  # as far as is known
UNCERTAIN = ("handed", "asked", "withheld")


class Jobs:
    """The attempts of one mesh in one scratch folder.

    The agent says once a round whether orders `may_start` to leave, and the outbox what time it is.
    """

    def __init__(self, base: Path, mesh: str, concurrency: int, tools: Tools) -> None:
        self.may_start = True
        self._data = tools.data
        self._progress = tools.progress
        self._carrier = Carrier(base, mesh, concurrency, tools, self._advance)
        self.pool = self._carrier.pool
        self.outbox = self._carrier.outbox
        self.measuring = Measuring(tools.crew)
        self._jobs: dict[str, Job] = {}
        self._places = 0
        self._ready: deque[Job] = deque()  # in the order of their places
        self._ordered: set[str] = set()  # what keepers have, started or not
        self._watched: set[str] = set()  # what runs, and only the agent holds to its memory
        self._mean: float | None = None  # seconds that commands ran of late

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
            self._carrier.adopt(job)
            job.suspended = held.suspended
            if held.state in ("queued", "running"):
                self._ordered.add(job.name)
                self._carrier.hold(job)
                job.phase = "handed" if held.started is None else "running"
                if held.started is not None:
                    self._note_start(job, held.started)
                self.outbox.wrote(job.name, job.ref, held.out, held.err)
            else:
                job.phase = "running"
                self._note_end(job, held.end)
                over.append(job)
        for name, saved in self.outbox.load():
            if name not in self._jobs:
                self._carrier.adopt(self._add(adopted(saved.carried)))
            job = self._jobs[name]
            job.phase = "ended"
            job.status = saved.end.outcome.status
            self.outbox.end(name, saved.end)
        for job in over:
            if job.phase == "running":
                self._over(job)
        self._carrier.sweep(self._ordered)
        self._carrier.folders.sweep(set(self._jobs))
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
                self.outbox.rejoined(job.name, job.ref)
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
            try:
                job = self._add(Job(assignment.ref, bytes(assignment.spec)))
            except ScitqError as problem:
                refused = outcome.unstarted("exit", f"this worker cannot read it: {problem}", Staged())
                self.outbox.end(name, End(assignment.ref, refused, None, time.time()))
                continue
            try:
                owner = owner_of(job.spec)
            except ImpossibleOwner as problem:
                self._carrier.cannot_start(job, "exit", str(problem))
                continue
            if job.stages:
                job.phase = "staging"
                self._carrier.stage(job, owner)
            else:
                self._ready.append(job)

    def recall(self, refs: Iterable[Ref]) -> None:
        """The broker wants these back if they have not started."""
        for ref in refs:
            if job := self._jobs.get(name_of(ref)):
                self._advance(job, "recall")
            else:
                self.outbox.kept(ref)

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
            self.outbox.landed(name_of(mark.ref), mark)
        for mark in ack.refused:
            self.outbox.refused(name_of(mark.ref), mark)
        for mark in ack.wanted:
            self.outbox.wanted(name_of(mark.ref), mark)
        for ref in ack.ends:
            if job := self._jobs.get(name_of(ref)):
                self._advance(job, "settled")
            else:
                self.outbox.settle(name_of(ref))

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
            if job is None:  # of a record that this program cannot read: it stays for one that can
                continue
            if isinstance(event, orders.Started):
                self._note_start(job, event)
                self._advance(job, "started")
            elif isinstance(event, orders.Ended | orders.Lost):
                self._note_end(job, event)
                self._over(job)
            elif isinstance(event, orders.Output):
                self.outbox.wrote(job.name, job.ref, event.out, event.err)
            elif isinstance(event, orders.LiveOutput):
                stream: StreamName = "stdout" if event.stream == "out" else "stderr"
                self.outbox.live(Chunk(job.ref, stream, event.offset, event.data, live=True))
            elif isinstance(event, orders.Returned):
                self._ordered.discard(job.name)
                self._carrier.free(job)
                self._advance(job, "returned")
                if job.phase == "ready":
                    self._carrier.unmake(job)
                    self._enqueue(job)
            elif isinstance(event, orders.AlreadyStarted):
                self._advance(job, "too_late")
            else:
                self._ordered.discard(job.name)
                self._carrier.cannot_start(job, event.class_, f"it was not started: {event.reason}")

    def dispatch(self) -> None:
        """Start what there is room for, first come first served.

        Containers, and who asks for more than a slot, do not queue ahead; who waits for that keeps what comes later
        waiting.
        """
        room = self.pool.limit + self._ahead()
        while self._ready and self.may_start and len(self._ordered) < room:
            job = self._ready[0]
            if job.phase == "ready" and not self._fits(job):
                if self._ordered:
                    break
                self._carrier.cannot_start(job, "lost", self._carrier.means.why_never(job.needs))
            self._ready.popleft()
            if job.phase == "ready":
                self._advance(job, "room")
                if job.problem is None:
                    self._ordered.add(job.name)

    def watch(self) -> None:
        """End what was seen with more memory than it asked for, where the kernel does not."""
        for name in list(self._watched):
            if self.measuring.used(name).memory > self._jobs[name].needs.mem:
                self._watched.discard(name)
                self.pool.kill(name, PASSED)

    def clean(self) -> tuple[int, int]:
        """Remove what earlier attempts left, in any thread; how many folders, and their bytes."""
        return self._carrier.leftovers.clean()

    def progress(self, task: int) -> tuple[str, ...]:
        """How far is what a task waits for, a line for each thing."""
        for job in self._jobs.values():
            if job.ref.task == task and job.phase == "staging":
                shared = [of_image(job.spec.container), *map(of_resource, job.spec.resources)]
                return self._progress.lines(job.name, *dict.fromkeys(shared))
            if job.ref.task == task and job.phase == "uploading":
                return self._progress.lines(job.name)
        return ()

    def return_containers(self) -> None:
        """Give back all that waits for the container engine and has not started; what may have started stays."""
        for job in list(self._jobs.values()):
            if job.spec.container and job.phase in NOT_STARTED:
                self._advance(job, "recall")

    def tidy(self) -> None:
        """Clear away what is settled."""
        self._carrier.tidy()

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
        self._carrier.close()

    def _add(self, job: Job) -> Job:
        job.spec = located(job.spec, self._data)
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
            self._carrier.carry_out(job, do)
        if event == "staged":
            self._enqueue(job)
        elif job.phase == "gone":
            self._jobs.pop(job.name, None)

    def _enqueue(self, job: Job) -> None:
        """Have it start in its turn, which is that of its place."""
        self._ready.append(job)
        if len(self._ready) > 1 and job.place < self._ready[-2].place:
            self._ready = deque(sorted(self._ready, key=lambda job: job.place))

    def _fits(self, job: Job) -> bool:
        """Whether what it asks for is free; it may queue ahead among those that ask for no more than a slot."""
        slots, means = self.pool.limit, self._carrier.means
        if len(self._ordered) >= slots and (job.needs.container or job.needs.asks or not means.untouched):
            return False
        return means.fits(job.needs, slots, len(self._ordered))

    def _ahead(self) -> int:
        """How many orders may wait inside keepers: none while tasks are long, or nothing is known of them."""
        if self._mean is None or self.pool.has_containers:
            return 0
        count = int(AHEAD_SECONDS / max(self._mean, 0.001) * self.pool.limit)
        return min(count, AHEAD_LIMIT * self.pool.limit) if self._mean < AHEAD_SECONDS / 2 else 0

    def _note_start(self, job: Job, started: orders.Started) -> None:
        job.started_at = started.wall
        root = Root(started.pid, started.ticks, kept=not job.spec.container)
        folder = self._carrier.folders.path(job.name)
        watched = job.is_watched
        self.measuring.begin(job.name, root, folder, time.monotonic(), closely=watched)
        if watched:
            self._watched.add(job.name)

    def _note_end(self, job: Job, end: orders.Ended | orders.Lost | None) -> None:
        self._ordered.discard(job.name)
        self._watched.discard(job.name)
        self._carrier.over(job)
        job.ended = end
        job.used = self.measuring.end(job.name)
        if isinstance(end, orders.Ended):
            if end.problem is None:
                job.started_at = end.wall_start
                self._mean = end.seconds if self._mean is None else 0.8 * self._mean + 0.2 * end.seconds
            self.outbox.shipping.ended(job.name, job.ref, end.out, end.err)
        elif end is not None:
            job.started_at = end.wall_start

    def _over(self, job: Job) -> None:
        """Its command has ended; the slot is free already."""
        if isinstance(job.ended, orders.Ended):
            self._carrier.inspect(job, partial(self._inspected, job))
        else:
            self._inspected(job)

    def _inspected(self, job: Job) -> None:
        waits = job.spec.output and isinstance(job.ended, orders.Ended) and job.ended.problem is None
        self._advance(job, "output_waits" if waits else "done")
