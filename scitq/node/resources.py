"""The resources of a worker: fetched once, then shared by hard links that nobody may write.

One entry per address with its actions, `<resources>/<key>/...`. The address alone counts: what changes at its other
end later is not fetched again. An entry that is not in the index was never complete, and is dropped.
"""

import hashlib
import os
import threading
from pathlib import Path

import msgspec
from msgspec import Struct

from scitq.fetch import FetchError, get
from scitq.node.folders import remove


class Entry(Struct, frozen=True):
    """A complete resource; `version` is that of its source when it was fetched."""

    uri: str
    bytes: int
    version: str


class Resources:
    """The cache of one scratch folder; its methods may be called by several threads."""

    def __init__(self, folder: Path) -> None:
        """Open the cache, without what was never complete."""
        self._folder = folder
        self._index_file = folder / "index.json"
        self._guard = threading.Lock()
        self._fetching: dict[str, threading.Lock] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._index = self._read()
        for found in list(os.scandir(folder)):
            if found.is_dir(follow_symlinks=False) and found.name not in self._index:
                remove(found.path)

    def link(self, uri: str, into: str, stop: threading.Event, limit_s: float | None = None) -> tuple[int, str]:
        """Put a resource into a task's folder; returns the bytes fetched for it, 0 if it was here, and its version.

        Whoever wants what another thread is fetching waits for that one. Raises FetchError.
        """
        key = hashlib.sha256(uri.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        with self._guard:
            lock = self._fetching.setdefault(key, threading.Lock())
        with lock:
            fetched = 0
            entry = self._index.get(key)
            home = self._folder / key
            if entry is None or not home.is_dir():
                entry = self._fetch(uri, home, stop, limit_s)
                fetched = entry.bytes
                with self._guard:
                    self._index[key] = entry
                    self._write()
        _link_all(uri, str(home), into)
        return fetched, entry.version

    def _fetch(self, uri: str, home: Path, stop: threading.Event, limit_s: float | None) -> Entry:
        remove(str(home))
        home.mkdir(mode=0o700)
        try:
            fetched = get(uri, home, stop=stop, limit_s=limit_s)
        except BaseException:
            remove(str(home))
            raise
        for here, _, files in os.walk(home):
            for file in files:
                path = os.path.join(here, file)
                if not os.path.islink(path):
                    os.chmod(path, _read_only(os.stat(path).st_mode))
        return Entry(uri, fetched.bytes, fetched.version)

    def _read(self) -> dict[str, Entry]:
        try:
            return msgspec.json.decode(self._index_file.read_bytes(), type=dict[str, Entry])
        except (FileNotFoundError, msgspec.DecodeError):  # without it all is fetched again
            return {}

    def _write(self) -> None:
        fresh = self._index_file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(self._index), indent=1))
        fresh.rename(self._index_file)


def _read_only(mode: int) -> int:
    """Readable by every task's user, executable by all if by its owner, writable by none."""
    return 0o555 if mode & 0o100 else 0o444


def _link_all(uri: str, home: str, into: str) -> None:
    """Hard links of all files of an entry, in folders of the task's own."""
    for here, folders, files in os.walk(home):
        below = into + here[len(home) :]
        linked = [name for name in folders if os.path.islink(f"{here}/{name}")]
        for name in folders:
            if name not in linked:
                os.makedirs(f"{below}/{name}", mode=0o755, exist_ok=True)
        for name in files + linked:
            try:
                os.link(f"{here}/{name}", f"{below}/{name}", follow_symlinks=False)
            except FileExistsError:
                raise FetchError(f"{uri}: {name} is already there, from another resource", False) from None
            except OSError as problem:
                raise FetchError(f"{uri}: {name}: {problem.strerror}", False) from None
