"""Copy and sync: what a source holds, brought to a target, wherever both are."""

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, cast

from scitq.fetch.deleting import Doomed, deleted
from scitq.fetch.filters import patterns, takes
from scitq.fetch.jobs import How, Job, Outcome, Report, finish, outcome_of
from scitq.fetch.listing import found
from scitq.fetch.naming import Place, naming, place
from scitq.fetch.parallel import ahead, each
from scitq.fetch.plan import Sides, Step, compare, plan
from scitq.fetch.retries import patiently
from scitq.fetch.storage import Entry, FetchError, NotThere, Refused, TimedOut, Watch
from scitq.fetch.streams import Ahead
from scitq.fetch.uri import shown

_AHEAD = 10_000  # entries that are listed, and steps that are planned, before they are needed

_ENOUGH = 50  # files: when the first so many are refused for one reason, so would be the others

Paths = Callable[[str], tuple[str, str]]  # a name -> where it is, and where it goes


class Copying(Job):
    """A copy: of a file, or with a final `/` of all that a folder holds; what is there already is left as it is."""

    def __init__(self, source: str, target: str, how: How, stop: threading.Event | None = None) -> None:
        super().__init__(how, stop)
        meant = takes(how.include, how.exclude)
        with naming(source):
            self._source = place(source, "input")
        with naming(target):
            self._target = place(target, "output")
        self._takes = meant
        self._stop = stop
        self._sides = Sides(self._source.is_local, self._target.is_local, how.checksum)
        self._within = (self._source.uri.scheme, self._source.uri.options) == (
            self._target.uri.scheme,
            self._target.uri.options,
        )

    def outcomes(self) -> Iterator[Outcome]:
        """Each file, as it is copied."""
        if self._source.uri.actions:
            yield from self._unpacked()
        elif self._source.is_folder:
            yield from self._folder()
        else:
            yield from self._file()

    def _unpacked(self) -> Iterator[Outcome]:
        """What the actions of the source leave: fetched as a whole."""
        if self.how.dry_run:
            yield Outcome(self._source.uri.name, "copied")
        elif self._target.is_local:
            yield from self._gathered(self._target.uri.path)
        else:
            with tempfile.TemporaryDirectory(prefix="scitq-fetch-") as beside:
                list(self._gathered(beside))
                yield from Copying(f"{beside}/", str(self._target.uri), self.how, self._stop).outcomes()

    def _gathered(self, folder: str) -> Iterator[Outcome]:
        from scitq.fetch.transfer import bring  # archives and all: not at the start of every copy

        with naming(str(self._source.uri)):
            names = bring(self._source, folder, self.watch, parallel=self.parallel, tries=self.tries).names
        for name in names:
            yield Outcome(name, "copied", os.lstat(os.path.join(folder, name)).st_size)

    def _file(self) -> Iterator[Outcome]:
        source, target = self._source, self._target
        with naming(str(source.uri)):
            entry = patiently(lambda: source.storage.stat(source.uri.path), self.watch, self.tries)
        if target.is_folder or (target.is_local and os.path.isdir(target.uri.path)):
            target = target.at(target.path(entry.name))
        with naming(str(target.uri)):
            try:
                there = patiently(lambda: target.storage.stat(target.uri.path), self.watch, self.tries)
            except NotThere:
                there = None
        step = Step(compare(entry, there, self._sides), entry, there)
        yield from self._carried_out([step], Doomed(), lambda _: (source.uri.path, target.uri.path))

    def _folder(self) -> Iterator[Outcome]:
        source, target = _as_folder(self._source), _as_folder(self._target)
        self._refuse_overlap(source, target)
        _, entries = found(source, self._takes)
        if self.how.delete:
            entries = self._certain(entries)
        try:
            _, theirs = found(target, self._takes)
        except NotThere:
            if target.is_local and os.path.lexists(target.uri.path.rstrip("/")):
                raise
            theirs = iter(())
        with Doomed() as doomed:
            steps = plan(ahead(entries, _AHEAD), ahead(theirs, _AHEAD), self._sides)
            yield from self._carried_out(steps, doomed, lambda name: (source.path(name), target.path(name)))
            if self.failed:
                self.withheld = doomed.count  # what seems to be missing may be there
            elif self.how.dry_run:
                yield from (Outcome(name, "deleted") for name in doomed)
            else:
                yield from deleted(self, target, iter(doomed))

    def _certain(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The same entries; raises where what comes may have other names, and would be taken for extra."""
        for entry in entries:
            if entry.guessed:
                with naming(str(self._source.uri)):
                    reason = f"what {entry.name} is called shows when it comes: --delete cannot tell what is extra"
                    raise FetchError(reason, retry=False)
            yield entry

    def _carried_out(self, steps: Iterable[Step], doomed: Doomed, paths: Paths) -> Iterator[Outcome]:
        def work(step: Step) -> Outcome:
            with naming(step.entry.name):
                return self._one(step, *paths(step.entry.name))

        todo = ahead(self._todo(steps, doomed), _AHEAD)
        alike: set[str] = set()
        for step, result in each(todo, work, self.parallel, self.watch):
            if isinstance(result, Outcome):
                yield result
                continue
            outcome = outcome_of(step.entry.name, result)
            alike.add(outcome.reason if isinstance(result, NotThere | Refused) else "")
            if self.failed + 1 >= _ENOUGH and not (self.copied or self.same) and len(alike) == 1 and "" not in alike:
                where = shown(str(self._target.uri))
                raise FetchError(f"{where}: {outcome.reason} (so ended the first {_ENOUGH} files)", retry=False)
            yield outcome

    def _todo(self, steps: Iterable[Step], doomed: Doomed) -> Iterator[Step]:
        for step in steps:
            if step.do == "keep":
                self.kept += 1
            elif step.do != "delete":
                self.planned += 1
                self.planned_bytes += max(0, step.entry.size)
                yield step
            elif self.how.delete:
                doomed.add(step.entry.name)
        self.is_planned = True

    def _one(self, step: Step, source: str, target: str) -> Outcome:
        entry = step.entry
        if step.do == "trouble":
            raise FetchError(entry.trouble, retry=False)
        if step.do == "look" and step.target is not None:
            mine = entry.md5 or _md5(source, self.watch)
            if mine == (step.target.md5 or _md5(target, self.watch)):
                return Outcome(entry.name, "same", entry.size)
        if self.how.dry_run:
            return Outcome(entry.name, "copied", entry.size)

        def move() -> int:
            nonlocal entry
            try:
                return self._move(entry, source, target)
            except FetchError as error:
                if error.retry and not isinstance(error, TimedOut):  # the next try is of what is there by then
                    fresh = self._source.storage.stat(source)
                    entry = entry if fresh.version == entry.version else fresh
                raise

        return Outcome(entry.name, "copied", patiently(move, self.watch, self.tries))

    def _move(self, entry: Entry, source: str, target: str) -> int:
        if self._target.is_local:
            return self._source.storage.download(source, entry, target, self.watch)
        if self._source.is_local:
            return self._target.storage.upload(source, target, self.watch)
        if self._within and self._target.storage.copy(source, target, self.watch):
            return entry.size

        def still() -> Entry:
            return self._source.storage.stat(source)

        stream = self._source.storage.open(source)
        with Ahead(stream, entry, still, lambda _: self.watch.check()) as content:
            return self._target.storage.write(cast("BinaryIO", content), entry.size, target, self.watch)

    def _refuse_overlap(self, source: Place, target: Place) -> None:
        if not self._within:
            return
        mine, theirs = (os.path.join(_real(one), "") for one in (source, target))
        with naming(str(target.uri)):
            if mine == theirs:
                raise FetchError("is the source itself", retry=False)
            if theirs.startswith(mine):
                raise FetchError("lies in the source", retry=False)
            if self.how.delete and mine.startswith(theirs):
                raise FetchError("the source lies in it, and would be deleted", retry=False)


class Syncing(Copying):
    """A sync: of all that a folder holds, with or without a final `/`."""

    def outcomes(self) -> Iterator[Outcome]:
        """Each file, as it is copied or deleted."""
        with naming(str(self._source.uri)):
            if self._source.uri.actions:
                raise FetchError(f"an action has no place in a sync: {self._source.uri.actions[0]}", retry=False)
        yield from self._folder()


def _as_folder(where: Place) -> Place:
    return where if where.is_folder else where.at(where.uri.path + "/")


def _real(where: Place) -> str:
    return os.path.realpath(where.uri.path) if where.is_local else where.uri.path


def _md5(path: str, watch: Watch) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 20):
            digest.update(block)
            watch.check()
    return digest.hexdigest()


def copy(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    checksum: bool = False,
    dry_run: bool = False,
    parallel: int | None = None,
) -> Report:
    """Copy a file, or with a final `/` all that a folder holds; what the target has already is left as it is.

    Both may be on any storage. A file goes into a target that ends with `/` or is a folder here, else it gets that
    name. Raises FetchError, one line: Incomplete when some files failed, which names them; the others are copied.
    """
    how = How(patterns(include), patterns(exclude), checksum=checksum, dry_run=dry_run, parallel=parallel)
    return finish(Copying(os.fspath(source), os.fspath(target), how))


def sync(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    delete: bool = False,
    checksum: bool = False,
    dry_run: bool = False,
    parallel: int | None = None,
) -> Report:
    """Make a folder hold what another holds; with `delete` nothing else, but what the patterns do not mean stays.

    Nothing is deleted when anything failed. Else as `copy`.
    """
    how = How(patterns(include), patterns(exclude), delete, checksum, dry_run, parallel)
    return finish(Syncing(os.fspath(source), os.fspath(target), how))
