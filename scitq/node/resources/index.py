"""Which resources are here and whole, as it is written down: what is not in the index was never complete."""

import hashlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct


class Entry(Struct, frozen=True):
    """A complete resource: the sizes on its way and on disk, and what its source and its files then were."""

    uri: str
    folder: str  # its name beside the index; another one for each version of the source
    bytes: int
    size: int
    files: int
    version: str  # of the source
    mark: str  # of the files, see `links.seal`
    fetched_at: float


class Index:
    """The entries by key; not for several threads at once."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "index.json"
        self._entries: dict[str, Entry] = {
            key: entry for key, entry in self._read().items() if (folder / entry.folder).is_dir()
        }

    @property
    def entries(self) -> dict[str, Entry]:
        """A copy, by key."""
        return dict(self._entries)

    def get(self, key: str) -> Entry | None:
        """The entry of this key, if it is here."""
        return self._entries.get(key)

    def put(self, key: str, entry: Entry) -> None:
        """Add an entry, or replace an older one; on disk when this returns."""
        self._entries[key] = entry
        self._write()

    def drop(self, key: str) -> None:
        """Forget an entry."""
        if self._entries.pop(key, None) is not None:
            self._write()

    def _read(self) -> dict[str, Entry]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, Entry])
        except (FileNotFoundError, msgspec.DecodeError):  # without it all is fetched again
            return {}

    def _write(self) -> None:
        fresh = self._file.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(self._entries), indent=1))
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self._file)


def key_of(uri: str) -> str:
    """The key of an address with its actions."""
    return hashlib.sha256(uri.encode("utf-8", "surrogateescape")).hexdigest()[:32]
