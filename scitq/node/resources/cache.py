"""The resources of a worker: brought once for however many tasks ask at once, shared, kept while there is room.

What an address with its actions led to lies in `<resources>/<key>.<time>`, one for each version of the source; until
it is whole it is `<key>.coming`, from which the next try goes on. A version that another one follows is removed at
once: tasks that use it have links of their own.
"""

import ctypes
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from scitq.fetch import FetchError, Seen, get, look
from scitq.model import Resource
from scitq.node.disk import Disk, Spare, expected, is_full, occupied
from scitq.node.folders import remove
from scitq.node.progress import Item, Progress, of_resource
from scitq.node.resources.index import Entry, Index, key_of
from scitq.node.resources.links import link_all, mark_of, seal
from scitq.node.resources.turns import Turns, Wanted

ASK_S = 60.0  # seconds between two questions whether a source is another one by now
ASK_LIMIT_S = 10.0  # seconds that its answer may take: without one, what is here serves
CHEAP_FILES = 1_000  # in one listing: the source of more is not asked again
_COMING = ".coming"


class Brought(NamedTuple):
    """What was read from the source for this task, 0 bytes if it was here, and its version."""

    bytes: int
    version: str


class Resources:
    """The cache of one scratch folder; several threads may call its methods. A `user` is an attempt's name."""

    def __init__(self, folder: Path, disk: Disk, progress: Progress) -> None:
        """Open the cache, without what was never complete; what was on its way is gone on with."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._disk = disk
        self._progress = progress
        self._guard = threading.Lock()
        self._index = Index(folder)
        self._users: dict[str, dict[str, Entry]] = {}
        self._asked_at: dict[str, float] = {}
        self._spoiled: set[Entry] = set()  # that a command changed
        self._turns = Turns()
        known = {entry.folder for entry in self._index.entries.values()}
        for found in list(os.scandir(folder)):
            if found.is_dir(follow_symlinks=False) and found.name not in known and not found.name.endswith(_COMING):
                remove(found.path)
        disk.offer(self._spares)

    @property
    def folder(self) -> str:
        """Where all of them lie."""
        return str(self._folder)

    def bring(self, uri: str, user: str, stop: threading.Event, limit_s: float | None = None) -> Brought:
        """Have it here, whole and as its source is now, and in use by `user` until `release`. Raises FetchError."""
        key = key_of(uri)
        with self._turns.take(uri, Wanted.by(stop, limit_s)) as turn:
            entry = self._use(key, user)
            if entry is not None and self._is_current(key, entry, turn):
                return Brought(0, entry.version)
            entry = self._fetch(uri, key, turn)
            with self._guard:
                self._users.setdefault(user, {})[key] = entry
            return Brought(entry.bytes, entry.version)

    def link(self, user: str, uri: str, into: str) -> None:
        """Put what was brought for `user` into a folder. Raises FetchError."""
        entry = self._users[user][key_of(uri)]
        try:
            link_all(f"{self._folder}/{entry.folder}", into)
        except FetchError as problem:
            raise FetchError(f"{uri}: {problem.reason}", problem.retry) from None

    def take_up(self, user: str, versions: dict[str, str]) -> None:
        """An earlier agent brought these for `user`, who still uses them."""
        for uri, version in versions.items():
            entry = self._index.get(key := key_of(uri))
            if entry is not None and entry.version == version:
                with self._guard:
                    self._users.setdefault(user, {})[key] = entry

    def changed(self, user: str) -> list[str]:
        """The addresses of what was changed here while `user` used it; it is dropped, to be fetched again."""
        with self._guard:
            used = dict(self._users.get(user, {}))
        return [entry.uri for key, entry in used.items() if self._is_spoiled(key, entry)]

    def release(self, user: str) -> None:
        """This attempt uses nothing any more."""
        with self._guard:
            used = self._users.pop(user, {})
        for entry in used.values():
            self._touch(entry)

    def listed(self) -> tuple[Resource, ...]:
        """All there is, and all that comes, by address."""
        with self._guard:
            entries = self._index.entries
            users = [set(used) for used in self._users.values()]
        here = [
            Resource(
                uri=entry.uri,
                status="here",
                size=entry.size,
                files=entry.files,
                version=entry.version,
                in_use=sum(key in used for used in users),
                fetched_at=entry.fetched_at,
                used_at=self._used_at(entry.folder),
            )
            for key, entry in entries.items()
        ]
        coming = [
            Resource(
                uri=uri,
                status="coming",
                size=occupied(f"{self._folder}/{key_of(uri)}{_COMING}"),
                in_use=waiting,
            )
            for uri, waiting in self._turns.fetching().items()
        ]
        return tuple(sorted(here + coming, key=lambda one: one.uri))

    # What is here

    def _use(self, key: str, user: str) -> Entry | None:
        """What is here becomes the user's: from now on it is not removed."""
        with self._guard:
            entry = self._index.get(key)
            if entry is None or not os.path.isdir(f"{self._folder}/{entry.folder}"):
                return None
            self._users.setdefault(user, {})[key] = entry
        self._touch(entry)
        return entry

    def _is_current(self, key: str, entry: Entry, turn: Wanted) -> bool:
        """Whether its source is still what it was, as far as that is known or cheap to ask."""
        now = time.monotonic()
        if now < self._asked_at.get(key, 0.0) or entry.files > CHEAP_FILES:
            return True
        self._asked_at[key] = now + ASK_S
        try:
            return look(entry.uri, stop=turn, limit_s=ASK_LIMIT_S).version == entry.version
        except FetchError:
            return True

    def _is_spoiled(self, key: str, entry: Entry) -> bool:
        path = f"{self._folder}/{entry.folder}"
        with self._guard:
            if entry in self._spoiled:
                return True
        try:
            if mark_of(path) == entry.mark:
                return False
        except OSError:  # another version followed it, and it is gone
            return False
        with self._guard:
            self._spoiled.add(entry)
            if self._index.get(key) == entry:
                self._index.drop(key)
        remove(path)
        return True

    def _touch(self, entry: Entry) -> None:
        """The time of its folder is that of its last use: it survives a restart, and costs no write of the index."""
        with suppress(OSError):
            os.utime(f"{self._folder}/{entry.folder}")

    def _used_at(self, name: str) -> float:
        try:
            return os.stat(f"{self._folder}/{name}").st_mtime
        except OSError:
            return 0.0

    # What comes

    def _fetch(self, uri: str, key: str, turn: Wanted) -> Entry:
        """Bring it; one that unpacks to more than was expected is begun anew with twice the room."""
        seen = look(uri, stop=turn)
        path = f"{self._folder}/{key}{_COMING}"
        size = expected(uri, seen)
        while True:
            try:
                with self._progress.begin(of_resource(uri), of_resource(uri), seen.bytes) as item:
                    return self._fetch_into(uri, key, path, size, seen, turn, item)
            except FetchError as problem:
                if not is_full(problem):
                    raise
                size = 2 * max(size, occupied(path))
                remove(path)

    def _fetch_into(self, uri: str, key: str, path: str, size: int, seen: Seen, turn: Wanted, item: Item) -> Entry:
        owner = f"resource {key}"
        try:
            self._disk.reserve(owner, path, size, turn, turn.until, item.say)
        except FetchError as problem:
            raise type(problem)(f"{uri}: {problem.reason}", problem.retry) from None
        try:
            _clear(path)
            turn.fetching = True
            fetched = get(uri, path, stop=turn, seen=seen, progress=item.add)
            entry = self._publish(uri, key, path, fetched.bytes, fetched.version)
        finally:
            turn.fetching = False
            self._disk.came(owner)
            with suppress(OSError):  # what came is kept for the next try
                os.rmdir(path)
        self._asked_at[key] = time.monotonic() + ASK_S
        return entry

    def _publish(self, uri: str, key: str, path: str, count: int, version: str) -> Entry:
        """Only what is on disk is called complete: after a power cut no more may be remembered than there is."""
        sealed = seal(path)
        _sync(path)
        with self._guard:
            before = self._index.get(key)
            name = f"{key}.{time.time_ns()}"  # never one that is still being removed
            os.rename(path, f"{self._folder}/{name}")
            entry = Entry(uri, name, count, sealed.size, sealed.files, version, sealed.mark, time.time())
            self._index.put(key, entry)
        if before is not None:
            remove(f"{self._folder}/{before.folder}")
        return entry

    # What may go

    def _spares(self) -> list[Spare]:
        """Every resource that nobody uses, and every beginning of one that nobody waits for."""
        with self._guard:
            used = {key for held in self._users.values() for key in held}
            spares = [
                Spare(self._used_at(entry.folder), lambda key=key: self._evict(key))  # type: ignore[misc]
                for key, entry in self._index.entries.items()
                if key not in used
            ]
        wanted = {key_of(uri) for uri in self._turns.wanted()}
        for found in os.scandir(self._folder):
            key = found.name.removesuffix(_COMING)
            if found.name != key and key not in wanted:
                spares.append(Spare(self._used_at(found.name), lambda path=found.path: _removed(path)))  # type: ignore[misc]
        return spares

    def _evict(self, key: str) -> int:
        with self._guard:
            entry = self._index.get(key)
            if entry is None or any(key in used for used in self._users.values()):
                return 0
            self._index.drop(key)
        return _removed(f"{self._folder}/{entry.folder}")


def _clear(path: str) -> None:
    """Leave of an earlier try only what it can go on from."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    for found in list(os.scandir(path)):
        if not found.name.startswith(".fetch-"):
            remove(found.path) if found.is_dir(follow_symlinks=False) else os.unlink(found.path)


def _removed(path: str) -> int:
    size = occupied(path)
    remove(path)
    return size


def _sync(path: str) -> None:
    """Write out the file system of a folder."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(fd):
            raise OSError(ctypes.get_errno(), "cannot be written out", path)
    finally:
        os.close(fd)
