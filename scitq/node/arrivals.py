"""The inputs of an attempt on their way, each in a folder of its own, from which a later attempt at the task goes on.

`<staging>/arriving/<key>/` is where an address is fetched to, and `<key>.json` beside it says that it is whole.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from scitq.fetch import Fetched, FetchError, Seen, get
from scitq.fetch.folders import merge
from scitq.node.folders import remove
from scitq.node.remains import boot_id
from scitq.node.resources.index import key_of


class _Whole(Struct, frozen=True):
    """Of which version, and in which boot of the machine: a power cut may undo what was whole."""

    version: str
    boot: str


class Arrivals:
    """The arriving inputs of one attempt; `bring` may be called by several threads, for an address each."""

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.folder = folder
        self._boot = boot_id()

    def bring(
        self,
        uri: str,
        seen: Seen | None,
        stop: threading.Event,
        limit_s: float | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Fetched:
        """Fetch an address, or what is missing of it; `progress` as `fetch.get` has it. Raises FetchError."""
        home = self._home(uri)
        if seen is not None and self._is_whole(home, seen.version):
            return Fetched((), 0, seen.version)
        with suppress(FileNotFoundError):
            os.unlink(f"{home}.json")
        if os.path.isdir(home):
            for found in list(os.scandir(home)):
                if not found.name.startswith(".fetch-"):
                    remove(found.path) if found.is_dir(follow_symlinks=False) else os.unlink(found.path)
        fetched = get(uri, home, stop=stop, limit_s=limit_s, seen=seen, progress=progress)
        Path(f"{home}.json").write_bytes(msgspec.json.encode(_Whole(fetched.version, self._boot)))
        return fetched

    def land(self, uri: str, into: str) -> None:
        """Move what came from an address to where the task looks for it. Raises FetchError when a name is taken."""
        try:
            merge(self._home(uri), into)
        except FetchError as problem:
            raise FetchError(f"{uri}: {problem.reason}", problem.retry) from None

    def _home(self, uri: str) -> str:
        return f"{self.folder}/{key_of(uri)}"

    def _is_whole(self, home: str, version: str) -> bool:
        return version != "" and os.path.isdir(home) and self._told(home) == _Whole(version, self._boot)

    def _told(self, home: str) -> _Whole | None:
        try:
            return msgspec.json.decode(Path(f"{home}.json").read_bytes(), type=_Whole)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
