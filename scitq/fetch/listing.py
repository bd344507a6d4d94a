"""Looking without changing anything: list, nrlist, info, exists, du."""

import posixpath
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple, TypeVar

from scitq.fetch.filters import Takes, takes
from scitq.fetch.naming import Place, naming, place, refuse_trouble
from scitq.fetch.retries import patiently
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, FetchError, NotThere, Refused, Watch

T = TypeVar("T")


class Usage(NamedTuple):
    """What a folder holds, its folders included."""

    files: int
    bytes: int


def list(  # noqa: A001 - the name that users know
    text: str, *, include: Iterable[str] = (), exclude: Iterable[str] = ()
) -> Iterator[Entry]:
    """All files of a folder, with or without a final `/`, or the one file of this name; in the order of their names.

    Names are relative to the folder. Raises FetchError, one line that names the address; NotThere when nothing is
    there.
    """
    with naming(text):
        meant = takes(include, exclude)
        where = looked_at(text)
    yield from found(where, meant)[1]


def nrlist(text: str, *, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> Iterator[Entry]:
    """What is right in a folder: files, and folders with a final `/`; else as `list`."""
    with naming(text):
        meant = takes(include, exclude)
        where = looked_at(text)
    yield from found(where, meant, deep=False)[1]


def info(text: str) -> Entry:
    """What is known of a file, or of a folder, whose name then ends with `/` and whose size is -1.

    Raises as `list` does.
    """
    with naming(text):
        where = looked_at(text)
        if not where.is_folder:
            try:
                return _patient(lambda: where.storage.stat(where.uri.path))
            except Refused:
                raise
            except FetchError as error:
                if error.retry:
                    raise
                missing = error
        try:
            _begun(lambda: where.storage.children(where.uri.path))
        except NotThere:
            if where.is_folder:
                raise
            raise missing from None
        return Entry(posixpath.basename(where.uri.path.rstrip("/")) + "/", -1, "")


def exists(text: str) -> bool:
    """Whether there is a file or a folder; raises FetchError when that cannot be known."""
    try:
        info(text)
    except NotThere:
        return False
    return True


def du(text: str, *, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> Usage:
    """How many files a folder holds, and their bytes; raises as `list` does, and for what cannot be read."""
    files = size = 0
    for entry in list(text, include=include, exclude=exclude):
        with naming(text):
            refuse_trouble(entry)
        files += 1
        size += max(0, entry.size)
    return Usage(files, size)


def looked_at(text: str) -> Place:
    """Where an address leads that is only looked at; raises FetchError without the address."""
    where = place(text, "input")
    if where.uri.actions:
        raise FetchError(f"an action has no place here: {where.uri.actions[0]}", retry=False)
    return where


def found(where: Place, meant: Takes | None, *, deep: bool = True) -> tuple[Place, Iterator[Entry]]:
    """The folder in which names are, and its files, or the one file that the address means.

    Raises FetchError, with the address, also while they are read.
    """
    with naming(str(where.uri)):
        listing = where.storage.walk if deep else where.storage.children
        try:
            entries = _begun(lambda: listing(where.uri.path))
        except Refused:
            raise
        except FetchError as error:
            if where.is_folder or error.retry:
                raise
            try:
                entry = _patient(lambda: where.storage.stat(where.uri.path))
            except Refused:
                raise
            except FetchError:
                raise error from None
            return where.at(posixpath.dirname(where.uri.path)), iter([entry])
    return where, _told(where, entries, meant)


def _told(where: Place, entries: Iterator[Entry], meant: Takes | None) -> Iterator[Entry]:
    with naming(str(where.uri)):
        if meant is None:
            yield from entries
        else:
            yield from (entry for entry in entries if meant(entry.name))


def _begun(listing: Callable[[], Iterator[Entry]]) -> Iterator[Entry]:
    """A listing whose first entry was found: what may be tried again shows there."""

    def first() -> tuple[Iterator[Entry], Entry | None]:
        entries = listing()
        return entries, next(entries, None)

    entries, one = _patient(first)
    return entries if one is None else chain((one,), entries)


def _patient(work: Callable[[], T]) -> T:
    return patiently(work, Watch(), settings().tries)
