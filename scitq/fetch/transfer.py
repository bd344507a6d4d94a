"""One address into a folder, and a folder to one address.

What arrives is gathered in a hidden folder inside the one it is for, and moved up when it is complete,
actions included.
"""

import errno
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from scitq.fetch.actions import apply
from scitq.fetch.archives import Room, unpack, unpacks
from scitq.fetch.folders import files_in, merge, refuse_taken
from scitq.fetch.storage import Entry, FetchError, Stopped, Storage, Watch, storage_of, why
from scitq.fetch.uri import Role, Uri, UriError, one_line, parse, refusal

# Trying again does not mend these.
_FINAL = {
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENOTEMPTY,
    errno.EPERM,
    errno.EROFS,
}

_landing = threading.Lock()  # whoever fetches into a shared folder finds no name taken between look and move


class Fetched(NamedTuple):
    """What `get` brought."""

    names: tuple[str, ...]  # relative to the folder, sorted
    bytes: int  # read from the source
    version: str  # of the source; it changes whenever the content may have


class Stored(NamedTuple):
    """What `put` stored."""

    files: tuple[tuple[str, int], ...]  # relative names, and sizes in bytes
    bytes: int


def get(
    text: str,
    folder: str | os.PathLike[str],
    *,
    stop: threading.Event | None = None,
    limit_s: float | None = None,
    unpack_limit: int | None = None,
) -> Fetched:
    """Fetch an address into a folder, its actions included; nothing is seen there before all is complete.

    A name that the folder already holds is refused. `limit_s`: seconds, by default 600 per GiB and at least
    600; `unpack_limit`: bytes that actions may write, by default 200 times the download and at least 1 GiB.
    Raises FetchError (Stopped when `stop` was set, TimedOut), one line that names the address.
    """
    with _naming(text):
        uri = _usable(text, "input")
        storage = storage_of(uri)
        watch = Watch(stop)
        entries = _listed(storage, uri, watch)
        size = sum(entry.size for entry in entries)
        watch.limit(max(600.0, 600.0 * size / (1 << 30)) if limit_s is None else limit_s)
        os.makedirs(folder, exist_ok=True)
        if not uri.actions:
            for entry in entries:
                refuse_taken(entry.name, os.fspath(folder))
        gathered = tempfile.mkdtemp(prefix=".fetch-", dir=folder)
        try:
            complete = _gather(
                storage, uri, entries, os.path.join(gathered, "all"), Room(size, unpack_limit, watch), watch
            )
            names = files_in(complete)
            with _landing:
                merge(complete, os.fspath(folder))
        finally:
            shutil.rmtree(gathered, ignore_errors=True)
        return Fetched(tuple(names), watch.bytes, _version(uri, entries))


def put(
    folder: str | os.PathLike[str],
    text: str,
    *,
    stop: threading.Event | None = None,
    limit_s: float | None = None,
) -> Stored:
    """Store all that a folder holds below an address, in the place of files of the same name.

    Each appears when it is whole. Links are stored as the content they lead to; folders without files are
    not stored. What has no content to store (a link that leads nowhere, a socket, a device) is an error,
    raised when all the rest is stored. `limit_s`: seconds, no limit by default. Raises FetchError (Stopped,
    TimedOut), one line that names the address.
    """
    with _naming(text):
        uri = _usable(text, "output")
        storage = storage_of(uri)
        watch = Watch(stop)
        watch.limit(limit_s)
        source = os.fspath(folder)
        target = uri.path.rstrip("/") + "/"
        stored: list[tuple[str, int]] = []
        failed: list[str] = []
        with _naming(source):
            entries = _walked(storage_of(Uri("file", source)), source, watch)
        for entry in entries:
            if entry.trouble:
                failed.append(f"{one_line(entry.name)} {entry.trouble}")
                continue
            try:
                with _naming(entry.name):
                    size = storage.upload(os.path.join(source, entry.name), target + entry.name, watch)
            except FetchError as error:
                if error.retry or isinstance(error, Stopped):
                    raise
                failed.append(error.reason)
            else:
                stored.append((entry.name, size))
        if failed:
            raise FetchError(f"{len(failed)} not stored, {len(stored)} stored; first: {failed[0]}", retry=False)
        return Stored(tuple(stored), watch.bytes)


def _usable(text: str, role: Role) -> Uri:
    try:
        uri = parse(text)
    except UriError as error:
        raise FetchError(str(error).removeprefix(f"{one_line(text)}: "), retry=False) from error
    if reason := refusal(uri, role):
        raise FetchError(reason, retry=False)
    return uri


def _listed(storage: Storage, uri: Uri, watch: Watch) -> list[Entry]:
    if not uri.is_folder:
        return [storage.stat(uri.path)]
    entries = _walked(storage, uri.path, watch)
    for entry in entries:
        if entry.trouble:
            raise FetchError(f"{one_line(entry.name)} {entry.trouble}", retry=False)
    return entries


def _walked(storage: Storage, path: str, watch: Watch) -> list[Entry]:
    entries = []
    for entry in storage.walk(path):
        watch.check()
        entries.append(entry)
    return entries


def _gather(storage: Storage, uri: Uri, entries: list[Entry], folder: str, room: Room, watch: Watch) -> str:
    """All entries, actions carried out, in a new folder; returns the folder that holds them at last."""
    os.mkdir(folder)
    actions = list(uri.actions)
    if not uri.is_folder and actions and unpacks(actions[0], entries[0].name):
        with storage.open(uri.path) as stream:  # unpacked while it comes: the archive itself is never written
            unpack(actions.pop(0), stream, entries[0].name, folder, room)
        watch.moved(entries[0].size)
        if storage.stat(uri.path).version != entries[0].version:
            raise FetchError("changed while it was read", retry=True)
    else:
        for entry in entries:
            path = uri.folder + entry.name if uri.is_folder else uri.path
            storage.download(path, entry, os.path.join(folder, entry.name), watch)
    for action in actions:
        folder = apply(action, folder, room)
    return folder


def _version(uri: Uri, entries: list[Entry]) -> str:
    if not uri.is_folder:
        return entries[0].version
    listing = hashlib.sha256()
    for entry in entries:
        listing.update(f"{entry.name}\0{entry.version}\0".encode("utf-8", "surrogateescape"))
    return f"{sum(entry.size for entry in entries)}:{listing.hexdigest()[:16]}"


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Whatever goes wrong becomes one line that begins with the name."""
    shown = one_line(name)
    try:
        yield
    except FetchError as error:
        raise type(error)(f"{shown}: {error.reason}", error.retry) from error
    except OSError as error:
        where = one_line(str(error.filename2 or error.filename or ""))
        beside = "" if shown.endswith(where) else f" ({where})"
        raise FetchError(f"{shown}: {why(error)}{beside}", error.errno not in _FINAL) from error
