"""One address into a folder, and a folder to one address.

What arrives is gathered in a hidden folder inside the one it is for, and moved up when it is complete,
actions included.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import chain
from typing import BinaryIO, NamedTuple, TypeVar, cast

from scitq.fetch.actions import apply
from scitq.fetch.archives import Room, unpack, unpacks
from scitq.fetch.folders import files_in, merge, refuse_taken
from scitq.fetch.gathering import Gathering
from scitq.fetch.naming import Place, naming, place, refuse_trouble
from scitq.fetch.parallel import each
from scitq.fetch.retries import patiently
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, FetchError, Stopped, TimedOut, Watch, storage_of
from scitq.fetch.streams import Ahead
from scitq.fetch.uri import Uri, one_line

R = TypeVar("R")

_DAY_S = 86_400.0

_landing = threading.Lock()  # whoever fetches into a shared folder finds no name taken between look and move


class _Changed(FetchError):
    """The source is another one than was listed: all has to begin anew."""


class Seen(NamedTuple):
    """What stands at an address now."""

    source: Place
    entries: list[Entry]

    @property
    def bytes(self) -> int:
        """Its size, before any action; -1 when the source does not tell all of it."""
        sizes = [entry.size for entry in self.entries]
        return -1 if min(sizes, default=0) < 0 else sum(sizes)

    @property
    def version(self) -> str:
        """Changes whenever the content may have."""
        return _version(self.source, self.entries)


class Fetched(NamedTuple):
    """What `get` brought."""

    names: tuple[str, ...]  # relative to the folder, sorted
    bytes: int  # read from the source; less than its size when an earlier try had brought a part
    version: str  # of the source; it changes whenever the content may have


class Stored(NamedTuple):
    """What `put` stored."""

    files: tuple[tuple[str, int], ...]  # relative names, and sizes in bytes; sorted
    bytes: int


class Unstored(FetchError):
    """Some of a folder could not be stored; the rest is."""

    def __init__(self, reason: str, stored: Stored) -> None:
        super().__init__(reason, retry=False)
        self.stored = stored


def look(text: str, *, stop: threading.Event | None = None, limit_s: float | None = None) -> Seen:
    """What `get` would fetch now. Raises FetchError as `get` does."""
    with naming(text):
        watch = Watch(stop)
        watch.limit(limit_s)
        source = place(text, "input")
        return Seen(source, patiently(lambda: _listed(source, watch), watch, settings().tries))


def get(
    text: str,
    folder: str | os.PathLike[str],
    *,
    stop: threading.Event | None = None,
    limit_s: float | None = None,
    unpack_limit: int | None = None,
    seen: Seen | None = None,
    progress: Callable[[int], None] | None = None,
) -> Fetched:
    """Fetch an address into a folder, its actions included; nothing is seen there before all is complete.

    A name that the folder already holds is refused. What an earlier try that was killed, or may be tried again, had
    brought of the same version is not brought again. `limit_s`: seconds, by default 600 per GiB and at least
    600, a day where a size is not known; `unpack_limit`: bytes that actions may write, by default 200 times the
    download and at least 1 GiB. `seen`: what `look` gave for this address, which then is not listed again.
    `progress` is told, by several threads, of so many bytes more that are here; first of those of an earlier try.
    Raises FetchError (Stopped when `stop` was set, TimedOut), one line that names the address.
    """
    known = settings()
    with naming(text):
        watch = Watch(stop, known.rate, progress)
        return bring(
            place(text, "input"),
            os.fspath(folder),
            watch,
            limit_s=limit_s,
            unpack_limit=known.unpack_limit if unpack_limit is None else unpack_limit,
            entries=None if seen is None else seen.entries,
        )


def bring(
    source: Place,
    folder: str,
    watch: Watch,
    *,
    limit_s: float | None = None,
    unpack_limit: int | None = None,
    parallel: int | None = None,
    tries: int | None = None,
    entries: list[Entry] | None = None,
) -> Fetched:
    """What `get` does, with errors that do not name the address; `parallel` and `tries` as the settings say."""
    known = settings()
    parallel, tries = parallel or known.parallel, tries or known.tries
    watch.limit(limit_s)
    if entries is None:
        entries = patiently(lambda: _listed(source, watch), watch, tries)
    size = sum(max(0, entry.size) for entry in entries)
    if limit_s is None:
        told = all(entry.size >= 0 for entry in entries)
        watch.limit(max(600.0, 600.0 * size / (1 << 30)) if told else _DAY_S)
    watch.check()
    os.makedirs(folder, exist_ok=True)
    if not source.uri.actions:
        for entry in entries:
            refuse_taken(entry.name, folder)
    version = _version(source, entries)
    actions = list(source.uri.actions)
    try:
        with Gathering(folder, str(source.uri), version) as gathering:
            if not source.is_folder and actions and actions[0] != "unzip" and unpacks(actions[0], entries[0].name):
                action = actions.pop(0)

                def stream() -> Room:
                    gathering.empty()
                    room = Room(size, unpack_limit, watch)
                    _unpack_stream(source, entries[0], action, gathering.files, room, watch)
                    return room

                room = patiently(lambda: _steady(source, entries[0], stream), watch, tries)
            else:
                _download(source, entries, gathering.files, watch, parallel, tries)
                room = Room(size, unpack_limit, watch)
            complete = gathering.use_up()
            for action in actions:
                complete = apply(action, complete, room)
            names = files_in(complete)
            with _landing:
                merge(complete, folder)
    except _Changed as error:
        raise FetchError(error.reason, retry=True) from error
    return Fetched(tuple(names), watch.bytes, version)


def put(
    folder: str | os.PathLike[str],
    text: str,
    *,
    stop: threading.Event | None = None,
    limit_s: float | None = None,
    within: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Stored:
    """Store all that a folder holds below an address, in the place of files of the same name.

    Each appears when it is whole. Links are stored as the content they lead to; folders without files are
    not stored. What has no content to store (a link that leads nowhere, a socket, a device) is an error,
    raised when all the rest is stored; so is, when `within` is given, what really lies in none of these folders.
    `limit_s`: seconds, no limit by default; `progress` is told, by several threads, of so many bytes more that have
    gone. Raises FetchError (Stopped, TimedOut), one line that names the address.
    """
    known = settings()
    with naming(text):
        target = place(text, "output")
        watch = Watch(stop, known.rate, progress)
        watch.limit(limit_s)
        source = os.fspath(folder)
        entries = _begun(source)
        stored: list[tuple[str, int]] = []
        failed: list[str] = []
        tops = None if within is None else [f"{os.path.realpath(one)}/" for one in within]

        def store(entry: Entry) -> int:
            refuse_trouble(entry)
            with naming(entry.name):
                local, path = os.path.join(source, entry.name), target.path(entry.name)
                if tops is not None and not os.path.realpath(local).startswith(tuple(tops)):
                    raise FetchError("is a link out of the folder", retry=False)
                return patiently(lambda: target.storage.upload(local, path, watch), watch, known.tries)

        for entry, result in each(entries, store, known.parallel, watch):
            if isinstance(result, int):
                stored.append((entry.name, result))
            elif result.retry or isinstance(result, Stopped):
                raise result
            else:
                failed.append(result.reason)
    done = Stored(tuple(sorted(stored)), watch.bytes)
    if failed:
        what = f"{len(failed)} not stored, {len(stored)} stored; first: {min(failed)}"
        raise Unstored(f"{one_line(text)}: {what}", done)
    return done


def _begun(folder: str) -> Iterator[Entry]:
    """All that is in a local folder, which is there."""
    with naming(folder):
        entries = storage_of(Uri("file", folder)).walk(folder)
        one = next(entries, None)
    return entries if one is None else chain((one,), entries)


def _listed(source: Place, watch: Watch) -> list[Entry]:
    if not source.is_folder:
        return [source.storage.stat(source.uri.path)]
    entries = []
    for entry in source.storage.walk(source.uri.path):
        watch.check()
        refuse_trouble(entry)
        entries.append(entry)
    return entries


def _download(source: Place, entries: list[Entry], folder: str, watch: Watch, parallel: int, tries: int) -> None:
    """Bring all entries into a folder, but what an earlier try left whole there."""

    def download(entry: Entry) -> None:
        target = os.path.join(folder, entry.name)
        whole = os.path.lexists(target)
        if watch.progress is not None:
            from scitq.fetch.partial import kept

            watch.progress(max(0, entry.size) if whole else kept(target, entry.version, entry.size))
        if whole:
            return
        path = source.path(entry.name) if source.is_folder else source.uri.path
        with naming(entry.name) if source.is_folder else nullcontext():
            bring_it = partial(source.storage.download, path, entry, target, watch)
            patiently(lambda: _steady(source, entry, bring_it), watch, tries)

    for _, result in each(entries, download, parallel, watch):
        if isinstance(result, FetchError):
            raise result


def _steady(source: Place, entry: Entry, work: Callable[[], R]) -> R:
    """What the work returns; raises _Changed when it failed and the source is another one by now."""
    try:
        return work()
    except FetchError as error:
        if not error.retry or isinstance(error, TimedOut):
            raise
        path = source.path(entry.name) if source.is_folder else source.uri.path
        if source.storage.stat(path).version != entry.version:
            raise _Changed(error.reason, retry=False) from error
        raise


def _unpack_stream(source: Place, entry: Entry, action: str, folder: str, room: Room, watch: Watch) -> None:
    """Unpack a single file while it comes: the archive itself is never written."""
    stream = source.storage.open(source.uri.path)
    with Ahead(stream, entry, lambda: source.storage.stat(source.uri.path), watch.moved) as content:
        unpack(action, cast("BinaryIO", content), entry.name, folder, room)
        while content.read(1 << 20):  # to its end, where it is checked
            pass


def _version(source: Place, entries: list[Entry]) -> str:
    if not source.is_folder:
        return entries[0].version
    listing = hashlib.sha256()
    for entry in entries:
        listing.update(f"{entry.name}\0{entry.version}\0".encode("utf-8", "surrogateescape"))
    return f"{sum(max(0, entry.size) for entry in entries)}:{listing.hexdigest()[:16]}"
