"""What the lifecycle orders is carried out here: folders, keepers, threads, outbox."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import Literal

import msgspec

from scitq.model import Class
from scitq.node import folders, limits, orders, outcome, starting
from scitq.node.containers.clearing import clear
from scitq.node.containers.images import Images
from scitq.node.containers.presence import Presence
from scitq.node.containers.words import Owner as ContainerOwner
from scitq.node.crew import Crew
from scitq.node.disk import Disk
from scitq.node.environment import Environment, Owner, owner_of
from scitq.node.folders import Folders
from scitq.node.footprint import weigh
from scitq.node.gpus import Device
from scitq.node.job import Given, Job, Saved, Staged, Uploaded
from scitq.node.leftovers import Leftovers
from scitq.node.lifecycle import Do, Event
from scitq.node.limits import Limits
from scitq.node.means import Means
from scitq.node.outbox import Outbox
from scitq.node.pools import Pools
from scitq.node.progress import Progress
from scitq.node.resources.cache import Resources
from scitq.node.results import lead_here, upload
from scitq.node.staging import NotStaged, Store, stage
from scitq.wire import End, Started

SLOW_UPLOAD = 30.0  # seconds after which the broker is asked once more before the end
TERMINATE_GRACE = 10.0  # seconds from SIGTERM to SIGKILL


class Tools(msgspec.Struct, frozen=True):
    """What all attempts of a worker share, whatever their mesh. `data` is what tasks see as /data, "" for nothing."""

    cpus: int
    memory: int
    gpus: Sequence[Device]
    environment: Environment
    resources: Resources
    disk: Disk
    crew: Crew
    presence: Presence
    images: Images
    progress: Progress
    worker: str
    scratch: str
    data: str


def _is_kept(job: Job) -> bool:
    """Whether its user may want to look into its folder: not at what was lost, which runs again elsewhere."""
    if isinstance(job.ended, orders.Lost):
        return False
    return job.status == "failed" or (job.status == "cancelled" and job.started_at is not None)


class Carrier:
    """Carries out instructions, one attempt at a time; `happened` is told what follows from them later."""

    def __init__(
        self, base: Path, mesh: str, concurrency: int, tools: Tools, happened: Callable[[Job, Event], None]
    ) -> None:
        self.outbox = Outbox(base / "outbox")
        owner = ContainerOwner(mesh, tools.worker, tools.scratch)
        self.pool = Pools(base, owner, concurrency, tools.presence, tools.crew)
        insist = partial(clear, tools.presence, owner.labels())
        self.folders = Folders(str(base / "tasks"), insist)
        self.leftovers = Leftovers(str(base / "tasks"), insist)
        tools.disk.offer(self.leftovers.spares)
        self.means = Means(tools.cpus, tools.memory, tools.gpus)
        self._limits = Limits(tools.worker, mesh)
        self._tools = tools
        self._happened = happened
        self._discarded: list[Job] = []
        self._do: dict[Do, Callable[[Job], None]] = {
            "start": self._start,
            "take_back": lambda job: self.pool.take_back(job.name),
            "stop": self._stop,
            "kill": lambda job: self.pool.kill(job.name, "dropped"),
            "suspend": lambda job: self.pool.suspend(job.name),
            "resume": lambda job: self.pool.resume(job.name),
            "confirm": lambda job: self.outbox.confirm(job.ref),
            "upload": self._upload,
            "abandon": self._abandon,
            "tell_started": self._tell_started,
            "tell_uploading": lambda job: self._tell(job, "uploading", time.time()),
            "tell_returned": lambda job: self.outbox.returned(job.ref),
            "tell_kept": lambda job: self.outbox.kept(job.ref),
            "finish": self._finish,
            "resend": lambda job: self.outbox.resend(job.name),
            "discard": self._discarded.append,
        }

    def carry_out(self, job: Job, instruction: Do) -> None:
        """Do it, or have it begun."""
        self._do[instruction](job)

    def close(self) -> None:
        """Let go: keepers keep what runs, the disk what has ended."""
        self._tools.disk.withdraw(self.leftovers.spares)
        self.pool.close()

    def adopt(self, job: Job) -> None:
        """An earlier agent made its folder and brought what it needs: it uses that still."""
        self.leftovers.claim(job.name)
        self._tools.disk.enter(job.name)
        used = job.staged.versions
        self._tools.resources.take_up(job.name, {uri: used[uri] for uri in job.spec.resources if uri in used})

    def hold(self, job: Job) -> None:
        """An earlier agent gave it what it has, and its command is not over."""
        self.means.hold(job.name, job.needs, job.given.gpus)
        if job.needs.disk:
            self._tools.disk.hold(job.name, self.folders.filled(job.name), job.needs.disk)

    def sweep(self, running: set[str]) -> None:
        """Remove what an earlier agent made for commands that do not run."""
        self._uncage(self._limits.left_by(running))

    def free(self, job: Job) -> None:
        """Its command is over, or not begun after all: what it was given is for others."""
        if job.needs.asks:
            self.means.give_back(job.name)
            self._uncage(job.given.cgroups)

    def _uncage(self, cgroups: Sequence[tuple[str, str]]) -> None:
        """Remove cgroups; only those of commands whose keeper was killed have somebody in them."""
        if not limits.remove(cgroups):
            self._tools.crew.do("clearing", partial(limits.remove_patiently, cgroups), lambda _: None)

    def over(self, job: Job) -> None:
        """Its command is over: what it wrote is there, and no more comes."""
        self.free(job)
        if job.needs.disk:
            self._tools.disk.came(job.name)

    def stage(self, job: Job, owner: Owner | None) -> None:
        """Bring what a job in `staging` needs."""
        job.stop = stop = Flag()
        self.leftovers.claim(job.name)
        self._tell(job, "staging", time.time())
        job.awaits = 1
        if job.spec.container:
            job.awaits += 1
            self._tools.images.bring(job.spec.container, partial(self._imaged, job))
        tools = self._tools
        store = Store(self.folders, self.leftovers, tools.resources, tools.disk, tools.progress)
        turn = tools.progress.begin(job.name, "", 0)
        turn.say("waits until fewer tasks are being staged")

        def work() -> Staged:
            turn.end()
            return stage(job.name, job.spec, owner, store, stop)

        self._tools.crew.do("staging", work, partial(self._staged, job))

    def inspect(self, job: Job, then: Callable[[], None]) -> None:
        """See what the command left: how much, and whether it changed a resource, which serves nobody any more."""
        job.untouched = self.folders.untouched(job.name)
        if job.untouched:  # as most are: no thread is asked
            return then()
        folder = self.folders.path(job.name)

        def look() -> tuple[int, list[str]]:
            return weigh(folder), self._tools.resources.changed(job.name)

        def seen(found: object) -> None:
            if isinstance(found, tuple):
                size, changed = found
                job.used = job.used._replace(disk=max(job.used.disk, size))
                job.spoiled = tuple(changed)
            then()

        self._tools.crew.do("checking", look, seen)
        return None

    def unmake(self, job: Job) -> None:
        """Undo what was done to the folder of a command that was not started after all."""
        if job.stages:
            self.folders.unstaged(job.name)
        elif not (self.folders.untouched(job.name) and self.folders.take_back(job.name)):
            self.folders.remove(job.name)

    def cannot_start(self, job: Job, class_: Class, reason: str) -> None:
        """End a job that never started, and never will."""
        self.free(job)
        job.problem = (class_, reason)
        self._happened(job, "done")

    def tidy(self) -> None:
        """Clear away what is settled: its folder first, then the files and the record that tell of it."""
        for job in self._discarded:
            self.outbox.settle(job.name)
            forget = partial(self._forget, job)
            if _is_kept(job):
                if job.spec.resources:
                    resource = f"{self.folders.path(job.name)}/resource"
                    self._tools.crew.do("clearing", partial(folders.remove, resource), forget)
                else:
                    forget(None)
            elif job.untouched and self.folders.take_back(job.name):
                forget(None)
            else:
                self._tools.crew.do("clearing", partial(self.folders.remove, job.name), forget)
        self._discarded.clear()

    # Instructions

    def _start(self, job: Job) -> None:
        share = self.means.take(job.name, job.needs, self.pool.limit)
        self.leftovers.claim(job.name)
        self._tools.disk.enter(job.name)
        try:
            owner = owner_of(job.spec)
            if job.stages:
                folder = self.folders.staged(job.name)
            elif owner is None:
                folder = self.folders.make(job.name)
            else:
                folder = self.folders.make_for(job.name, owner)
            gpus = tuple(device.number for device in share.gpus)
            if job.spec.container:
                folders.open_to_all(folder)
                job.given = Given(gpus)
                self.pool.start(starting.container(job, folder, self._tools.data, share))
            else:
                where = self._tools.resources.folder
                job.given = Given(gpus, self._limits.make(job.name, share.cpu_limit, share.mem_limit))
                self.pool.start(starting.command(job, owner, folder, self._tools.environment, share, where))
        except OSError as problem:
            self.cannot_start(job, "lost", f"the worker could not start it: {problem}")
        except Exception as defect:  # noqa: BLE001 - one task that cannot be ordered must not end all the others
            self.cannot_start(job, "exit", f"a defect of scitq, please report it: it cannot be ordered: {defect!r}")

    def _stop(self, job: Job) -> None:
        if job.halted == "terminate":
            self.pool.terminate(job.name, "halted", TERMINATE_GRACE)
        else:
            self.pool.kill(job.name, "halted")

    def _upload(self, job: Job) -> None:
        """Of who runs as somebody else, or in a container, nothing is read through links that lead elsewhere."""
        job.stop = stop = Flag()
        folder = self.folders.path(job.name)
        others = job.spec.container or job.spec.uid is not None or job.spec.gid is not None
        within = [folder, *filter(None, [self._tools.data])] if others else None

        def work() -> Uploaded:
            if job.spec.container:
                lead_here(folder, self._tools.data)
            return upload(job.name, f"{folder}/output", job.spec.output, stop, self._tools.progress, within)

        self._tools.crew.do("storing", work, partial(self._uploaded, job))

    def _abandon(self, job: Job) -> None:
        if job.stop is not None:
            job.stop.set()

    def _tell_started(self, job: Job) -> None:
        self._tell(job, "running", job.started_at or time.time())
        if job.suspended:
            self.pool.suspend(job.name)

    def _tell(self, job: Job, phase: Literal["staging", "running", "uploading"], at: float) -> None:
        self.outbox.started(job.name, Started(job.ref, phase, at))

    def _finish(self, job: Job) -> None:
        end = job.ended
        out = err = b""
        if isinstance(end, orders.Ended):
            used = (job.staged, job.uploaded, job.used, job.spoiled)
            result = outcome.ended(end, *used, halted=bool(job.halted), mem=job.needs.mem)
            out, err = end.out.inline or b"", end.err.inline or b""
        elif isinstance(end, orders.Lost):
            result = outcome.lost(end, job.staged, job.used)
        elif job.problem is not None:
            result = outcome.unstarted(*job.problem, job.staged)
        else:
            result = outcome.unstarted("cancelled", "stopped before it started", job.staged)
        over = end.wall_end if isinstance(end, orders.Ended) and not job.spec.output else time.time()
        job.status = result.status
        told = End(job.ref, result, job.started_at, over, out, err)
        if end is None or job.halted or job.spec.output:  # a keeper's record alone would tell another end
            self.outbox.save(job.name, Saved(job.carried, told))
        self.outbox.end(job.name, told)

    def _forget(self, job: Job, _: object) -> None:
        self._vacate(job)
        self.outbox.forget(job.name)
        if job.ended is not None:
            self.pool.acknowledge(job.name)

    def _vacate(self, job: Job) -> None:
        """It uses nothing here any more; what is left of its folder may go when room is needed."""
        self._tools.resources.release(job.name)
        self.leftovers.let_go(job.name)
        self._tools.disk.leave(job.name)

    # What the threads did

    def _staged(self, job: Job, result: object) -> None:
        if job.phase != "staging":  # abandoned meanwhile
            self._tools.crew.do("clearing", partial(self.folders.remove, job.name), lambda _: self._vacate(job))
        elif isinstance(result, Staged):
            job.staged = result
            self._one_more(job)
        elif isinstance(result, NotStaged):
            job.staged = result.staged
            job.problem = (result.class_, result.reason)
            self._happened(job, "not_staged")
        else:
            job.problem = ("download", f"{type(result).__name__}: {result}")
            self._happened(job, "not_staged")

    def _imaged(self, job: Job, result: object) -> None:
        if job.phase != "staging":
            return
        if isinstance(result, str):
            job.image_user = result
            self._one_more(job)
            return
        job.problem = ("image", str(result) or repr(result))
        self._abandon(job)
        self._happened(job, "not_staged")

    def _one_more(self, job: Job) -> None:
        job.awaits -= 1
        if job.awaits == 0:
            self._happened(job, "staged")

    def _uploaded(self, job: Job, result: object) -> None:
        if job.phase != "uploading":
            return
        if not isinstance(result, Uploaded):
            result = Uploaded(problem=f"{type(result).__name__}: {result}")
        job.uploaded = result
        slow = result.seconds > SLOW_UPLOAD and not result.problem
        self._happened(job, "uploaded_slowly" if slow else "uploaded")
