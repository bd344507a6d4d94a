"""What every verb that changes something is: files done one by one, figures that can be watched, and a report."""

import threading
from collections.abc import Iterator
from typing import Literal, NamedTuple

from scitq.fetch.settings import settings
from scitq.fetch.storage import FetchError, Stopped, TimedOut, Watch
from scitq.fetch.uri import one_line


class How(NamedTuple):
    """What a user may ask for; None stands for what the settings say."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    delete: bool = False  # what only the target of a sync has
    checksum: bool = False
    dry_run: bool = False
    parallel: int | None = None
    rate: float | None = None  # bytes per second
    tries: int | None = None  # for one file


class Outcome(NamedTuple):
    """What became of one file; of a dry run, what would."""

    name: str  # relative to the folder asked for
    did: Literal["copied", "same", "deleted", "failed"]
    bytes: int = 0
    reason: str = ""  # why it failed


class Report(NamedTuple):
    """What was done; of a dry run, what would have been."""

    copied: int = 0  # files
    bytes: int = 0  # of those
    same: int = 0  # files that were there already
    deleted: int = 0  # files
    failed: int = 0  # files
    withheld: int = 0  # files that are not deleted, as others failed


class Incomplete(FetchError):
    """Some files failed; what succeeded stays."""

    report = Report()
    failures: tuple[Outcome, ...] = ()


class Job:
    """Work on many files: iterating over it does it; its figures may be read meanwhile by another thread."""

    def __init__(self, how: How, stop: threading.Event | None) -> None:
        known = settings()
        self.how = how
        self.watch = Watch(stop, how.rate or known.rate)
        self.parallel = how.parallel or known.parallel
        self.tries = how.tries or known.tries
        self.is_planned = False  # whether all that has to be done is known
        self.planned = 0  # files to copy or delete, as far as known
        self.planned_bytes = 0
        self.kept = 0  # files whose entries say that they are the same, counted by whoever plans
        self.copied = self.copied_bytes = self.same = self.deleted = self.failed = self.withheld = 0

    def __iter__(self) -> Iterator[Outcome]:
        """Do it; what became of each file that was not simply the same, as it comes.

        Raises FetchError, with the address, where nothing could go on: a listing that failed, Stopped, TimedOut.
        """
        for outcome in self.outcomes():
            if outcome.did == "copied":
                self.copied += 1
                self.copied_bytes += outcome.bytes
            elif outcome.did == "deleted":
                self.deleted += 1
            elif outcome.did == "same":
                self.same += 1
                continue
            else:
                self.failed += 1
            yield outcome

    def outcomes(self) -> Iterator[Outcome]:
        """What each kind of job does."""
        raise NotImplementedError

    def report(self) -> Report:
        """What was done so far."""
        return Report(self.copied, self.copied_bytes, self.same + self.kept, self.deleted, self.failed, self.withheld)


def finish(job: Job) -> Report:
    """Do a job to its end; raises Incomplete when files failed, and as iterating over it does."""
    failures = tuple(outcome for outcome in job if outcome.did == "failed")
    report = job.report()
    if failures:
        done = report.copied + report.same + report.deleted
        first = f"{one_line(failures[0].name)}: {failures[0].reason}"
        error = Incomplete(f"{len(failures)} failed, {done} done; first: {first}", retry=True)
        error.report, error.failures = report, failures
        raise error
    return report


def outcome_of(name: str, error: FetchError) -> Outcome:
    """A failure of one file; raises what ends them all."""
    if isinstance(error, Stopped | TimedOut):
        raise error
    return Outcome(name, "failed", reason=error.reason.removeprefix(f"{one_line(name)}: "))
