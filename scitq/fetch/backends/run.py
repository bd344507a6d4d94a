"""Public sequencing runs: the FASTQ files of an accession, from whichever archive gives them.

A path is an accession, or `accession/name` of one of its files. ENA tells the files of all its runs; their bytes
come from ENA by https, then ftp; from SRA; from ENA by Aspera; and again, until one way leads to them or all are
closed.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import BinaryIO, NamedTuple

from scitq.fetch.backends import ena, fasp, sra
from scitq.fetch.backends.workroom import leave, workroom
from scitq.fetch.partial import Partial
from scitq.fetch.retries import patiently
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, FetchError, NotThere, Stopped, TimedOut, Watch, storage_of
from scitq.fetch.uri import Uri

ROUNDS = 10

_WAYS = ("ena", "sra", "aspera")  # in the order of trying; an address may name others, in its own order
_FTP = "ftp://"
_READ_ONLY = "the archives of reads are for reading"

Way = Callable[[], int]


class _Wanted(NamedTuple):
    """A file of a run. Without what ENA tells of it, its name is a guess, and SRA has the last word."""

    run: str
    entry: Entry
    file: ena.File | None


class _Turns:
    """Several files of a run come from ENA at once, or all of them from SRA: mates are of one source."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._coming = 0
        self.from_sra: set[str] = set()  # the folders into which SRA brought the run

    @contextmanager
    def of_ena(self) -> Iterator[None]:
        with self._change:
            self._coming += 1
        try:
            yield
        finally:
            with self._change:
                self._coming -= 1
                self._change.notify_all()

    @contextmanager
    def of_sra(self, watch: Watch) -> Iterator[None]:
        with self._change:
            while self._coming:
                self._change.wait(0.5)
                watch.check()
            yield


class Backend:
    """The `Storage` of run+fastq://."""

    def __init__(self, uri: Uri) -> None:
        self._forced = uri.options
        self._alone = not uri.is_folder  # one file is asked for, whatever becomes of its mate
        self._known: dict[str, dict[str, _Wanted]] = {}  # accession -> name -> file
        self._turns: dict[str, _Turns] = {}
        self._guard = threading.Lock()

    def stat(self, path: str) -> Entry:
        if not path.partition("/")[2]:
            raise FetchError("is an accession: a folder of files", retry=False)
        return self._find(path).entry

    def walk(self, path: str) -> Iterator[Entry]:
        files = self._ask(path.rstrip("/"))
        yield from (files[name].entry for name in sorted(files))

    children = walk

    def open(self, path: str) -> BinaryIO:
        """A file that is whole and verified before its first byte is read."""
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, os.path.basename(path))
            self.download(path, self.stat(path), target, Watch())
            try:
                return open(target, "rb")
            except FileNotFoundError:
                names = " ".join(sorted(os.listdir(folder)))
                raise FetchError(f"comes from SRA as {names}", retry=False) from None

    def download(self, path: str, entry: Entry, target: str, watch: Watch) -> int:
        """As the protocol says, but all files of a run arrive beside `target` when one has to come from SRA.

        Where only SRA knows the run, they may then have other names than `entry`. The file that the address of this
        storage names comes alone.
        """
        wanted = self._find(path)
        ways = self._ways(wanted, target, watch)
        answers: dict[str, FetchError] = {}
        try:
            moved = patiently(partial(_round, ways, answers), watch, ROUNDS)
        except (Stopped, TimedOut):
            raise
        except FetchError as error:
            # Final, whatever the answers were: whoever called would only begin the rounds again.
            nowhere = all(isinstance(answer, NotThere) for answer in answers.values())
            raise (NotThere if nowhere else FetchError)(error.reason, retry=False) from error
        _tidy(wanted, target)
        return moved

    def upload(self, source: str, path: str, watch: Watch) -> int:
        raise FetchError(_READ_ONLY, retry=False)

    def write(self, content: BinaryIO, size: int, path: str, watch: Watch) -> int:
        raise FetchError(_READ_ONLY, retry=False)

    def copy(self, source: str, path: str, watch: Watch) -> bool:
        return False

    def delete(self, paths: Iterable[str], watch: Watch) -> Iterator[tuple[str, str]]:
        for path in paths:
            yield path, _READ_ONLY

    def _find(self, path: str) -> _Wanted:
        accession, _, name = path.partition("/")
        try:
            return self._ask(accession)[name]
        except KeyError:
            raise NotThere(f"{accession} has no such file", retry=False) from None

    def _ask(self, accession: str) -> Mapping[str, _Wanted]:
        with self._guard:
            if accession not in self._known:
                found = (one for run in self._runs(accession) for one in self._files(run))
                self._known[accession] = {one.entry.name: one for one in found}
            return self._known[accession]

    def _runs(self, accession: str) -> list[ena.Run]:
        by_sra = ena.is_run(accession) and "sra" in (self._forced or _WAYS)
        try:
            if found := ena.runs(accession, Watch()):
                return found
            silence: FetchError = NotThere("ENA knows nothing of it", retry=False)
        except FetchError as error:
            silence = FetchError(f"ENA {error.reason}", error.retry)
        if not by_sra:
            raise silence
        try:
            sra.look(accession)
        except NotThere as error:
            if not self._forced:
                raise type(silence)(f"{silence.reason}, and SRA has no such public run", silence.retry) from error
        except FetchError:
            pass  # the download will tell
        return [ena.Run(accession, paired=False)]

    def _files(self, run: ena.Run) -> Iterator[_Wanted]:
        ways = self._forced or _WAYS
        if run.files and ways != ("sra",):
            for file in run.files:
                entry = Entry(file.name, file.size, f"{file.size}:{file.md5}", md5=file.md5)
                yield _Wanted(run.accession, entry, file)
        elif "sra" in ways:
            guessed = ("_1", "_2") if run.paired else ("",)
            names = [file.name for file in run.files] or [f"{run.accession}{mate}.fastq.gz" for mate in guessed]
            for name in names:
                yield _Wanted(run.accession, Entry(name, -1, f"sra:{run.accession}", guessed=True), None)
        else:
            trouble = "is a run of which ENA has no FASTQ files"
            yield _Wanted(run.accession, Entry(run.accession, -1, "", trouble), None)

    def _ways(self, wanted: _Wanted, target: str, watch: Watch) -> dict[str, Way]:
        """Each way to a file, in the order of trying."""
        ways: dict[str, Way] = {}
        for name in self._forced or _WAYS:
            if name == "sra":
                ways["SRA"] = partial(self._from_sra, wanted, target, watch)
            elif wanted.file is not None:
                for label, uri in _addresses(name, wanted.file):
                    ways[label] = partial(self._from_ena, wanted, uri, target, watch)
        if not ways:
            raise NotThere("ENA tells no address of it", retry=False)
        return ways

    def _from_ena(self, wanted: _Wanted, uri: Uri, target: str, watch: Watch) -> int:
        turns = self._turns_of(wanted.run)
        with turns.of_ena():
            if os.path.dirname(target) in turns.from_sra:
                return 0
            return storage_of(uri).download(uri.path, wanted.entry, target, watch)

    def _from_sra(self, wanted: _Wanted, target: str, watch: Watch) -> int:
        folder, name = os.path.split(target)
        turns = self._turns_of(wanted.run)
        with turns.of_sra(watch):
            if folder in turns.from_sra:
                return 0
            with workroom(folder, _purpose(wanted)) as room:
                brought = {os.path.basename(path): path for path in sra.bring(wanted.run, room, watch)}
                if wanted.entry.name not in brought and (wanted.file is not None or self._alone):
                    raise FetchError(f"has it as {' '.join(brought)}, which run+fastq@sra:// takes", retry=False)
                if self._alone:
                    brought = {wanted.entry.name: brought[wanted.entry.name]}
                moved = sum(os.stat(path).st_size for path in brought.values())
                for one, path in brought.items():
                    os.rename(path, os.path.join(folder, name if one == wanted.entry.name else one))
            turns.from_sra.add(folder)
        return moved

    def _turns_of(self, run: str) -> _Turns:
        with self._guard:
            return self._turns.setdefault(run, _Turns())


def _purpose(wanted: _Wanted) -> str:
    return f"{wanted.run} from SRA"


def _tidy(wanted: _Wanted, target: str) -> None:
    """Remove what the ways that led nowhere, now or before, left to go on from."""
    folder, name = os.path.split(target)
    leave(folder, fasp.purpose(name))
    leave(folder, _purpose(wanted))
    with suppress(FetchError), Partial(target, "", -1) as rest:
        rest.discard()


def _addresses(way: str, file: ena.File) -> Iterator[tuple[str, Uri]]:
    """What ENA offers by one way, with a name for it."""
    if way == "aspera":
        if file.aspera:
            yield "ENA by Aspera", Uri("fasp", f"{fasp.PUBLIC}@{file.aspera}")
        return
    prefixes = settings().ena_files
    if way == "ftp":
        prefixes = tuple(one for one in prefixes if one.startswith(_FTP)) or (_FTP,)
    for prefix in prefixes:
        scheme, _, base = prefix.partition("://")
        yield prefix if base else f"ENA by {scheme}", Uri(scheme, base + file.path)


def _round(ways: Mapping[str, Way], answers: dict[str, FetchError]) -> int:
    """Try each way whose last answer was not final; raises what all of them answered."""
    for name, way in ways.items():
        if name not in answers or answers[name].retry:
            try:
                return way()
            except (Stopped, TimedOut):
                raise
            except FetchError as error:
                answers[name] = error
    reason = "; ".join(f"{name}: {answer.reason}" for name, answer in answers.items())
    raise FetchError(reason, any(answer.retry for answer in answers.values()))
