"""Jobs carried out before the user's eyes: progress, failures as they come, one line at the end."""

import time
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scitq.errors import ScitqError
from scitq.shell.render import duration, one_line, print_json, size

if TYPE_CHECKING:
    from scitq.fetch.jobs import Job, Report

_WOULD = {"copied": "would copy", "deleted": "would delete"}


def carry_out(job: "Job", given: Namespace) -> int:
    """Do it; 1 when a file failed."""
    from scitq.fetch import FetchError
    from scitq.fetch.progress import Progress

    begin = time.monotonic()
    try:
        with Progress(job) as progress:
            told = _told(job, progress, given)
            if given.json:
                print_json(told)
            else:
                for outcome in told:
                    if given.dry_run:
                        print(one_line(f"{_WOULD[outcome['did']]} {outcome['name']}"))
    except FetchError as problem:
        raise ScitqError(str(problem)) from None
    if not given.json:
        print(summary(job.report(), time.monotonic() - begin, dry_run=given.dry_run))
    return 1 if job.failed else 0


def summary(done: "Report", seconds: float, *, dry_run: bool) -> str:
    """All that was done, on one line."""
    told = []
    if done.copied:
        rate = "" if dry_run or not done.bytes else f" in {duration(seconds)} ({size(int(done.bytes / seconds))}/s)"
        told.append(f"{'would copy' if dry_run else 'copied'} {_files(done.copied)}, {size(done.bytes)}{rate}")
    if done.deleted:
        told.append(f"{'would delete' if dry_run else 'deleted'} {_files(done.deleted)}")
    if not (done.copied or done.deleted or done.failed):
        told.append("nothing to do")
    if done.same:
        told.append(f"{_files(done.same)} the same on both sides")
    if done.failed:
        told.append(f"{_files(done.failed)} failed")
    if done.withheld:
        told.append(f"{_files(done.withheld)} not deleted, as others failed")
    return "; ".join(told)


def _told(job: "Job", progress: Any, given: Namespace) -> Iterator[dict[str, Any]]:
    for outcome in job:
        if outcome.did == "failed":
            progress.say(one_line(f"scitq: {outcome.name}: {outcome.reason}"))
            if not given.json:
                continue
        yield outcome._asdict()


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"
