"""Deleting: a file, or a folder and never its neighbour."""

import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Self

from scitq.fetch.filters import patterns, takes
from scitq.fetch.jobs import How, Job, Outcome, Report, finish, outcome_of
from scitq.fetch.listing import found
from scitq.fetch.naming import Place, naming, place
from scitq.fetch.parallel import ahead, each
from scitq.fetch.retries import patiently
from scitq.fetch.storage import Entry
from scitq.fetch.uri import outside

_MANY = 1_000  # files told to the storage at a time: S3 takes no more in one request
_AHEAD = 10_000


class Deleting(Job):
    """The deletion of one address, a folder with or without a final `/`."""

    def __init__(self, text: str, how: How, stop: threading.Event | None = None) -> None:
        super().__init__(how, stop)
        with naming(text):
            self._takes = takes(how.include, how.exclude)
            self._place = place(text, "output")

    def outcomes(self) -> Iterator[Outcome]:
        """Each file, as it is deleted; the listing goes ahead."""
        folder, entries = found(self._place, self._takes)
        names = ahead(self._names(entries), _AHEAD)
        if self.how.dry_run:
            yield from (Outcome(name, "deleted") for name in names)
            return
        yield from deleted(self, folder, names)
        if folder.is_local and not self.planned:
            list(folder.storage.delete((), self.watch))  # folders in which there is nothing

    def _names(self, entries: Iterable[Entry]) -> Iterator[str]:
        for entry in entries:
            self.planned += 1
            yield entry.name
        self.is_planned = True


def deleted(job: Job, place: Place, names: Iterator[str]) -> Iterator[Outcome]:
    """Delete files of a folder, many at a time, as a part of a job."""

    def delete(some: list[str]) -> list[Outcome]:
        with naming(str(place.uri)):
            return patiently(lambda: list(_delete(place, some, job)), job.watch, job.tries)

    for some, outcomes in each(_bundles(names), delete, job.parallel, job.watch):
        if isinstance(outcomes, list):
            yield from outcomes
        else:
            yield from (outcome_of(name, outcomes) for name in some)


def _delete(place: Place, names: list[str], job: Job) -> Iterator[Outcome]:
    by_path = {}
    for name in names:
        if outside(name):
            yield Outcome(name, "failed", reason="is no name in this folder")
        else:
            by_path[place.path(name)] = name
    for path, reason in place.storage.delete(by_path, job.watch):
        yield Outcome(by_path[path], "failed" if reason else "deleted", reason=reason)


def _bundles(names: Iterator[str]) -> Iterator[list[str]]:
    while some := list(islice(names, _MANY)):
        yield some


class Doomed:
    """Names to be deleted when all else is done, kept on disk: there may be millions. A context manager."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, name: str) -> None:
        """Keep one more."""
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this
        self._file.write(os.fsencode(name) + b"\0")
        self.count += 1

    def __iter__(self) -> Iterator[str]:
        if self._file is None:
            return
        self._file.seek(0)
        rest = b""
        while block := self._file.read(1 << 16):
            *whole, rest = (rest + block).split(b"\0")
            yield from map(os.fsdecode, whole)


def delete(
    uri: str | os.PathLike[str],
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    dry_run: bool = False,
) -> Report:
    """Delete a file, or all that a folder holds, with or without a final `/`.

    Raises FetchError, one line: NotThere when nothing is there, Incomplete when some files are still there.
    """
    return finish(Deleting(os.fspath(uri), How(patterns(include), patterns(exclude), dry_run=dry_run)))
