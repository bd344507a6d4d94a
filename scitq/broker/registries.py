"""Logins of container registries: a file beside the keys, mode 0600, and never a fact of the journal.

Journals are copied, printed and kept for ever; a password that was changed or taken back must not stay in them.
"""

import os
import re
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import tomli_w
from msgspec import Struct, convert, to_builtins

from scitq.broker.durable import sync_folder
from scitq.errors import NotFound, Unavailable, UsageError
from scitq.model import Registry
from scitq.wire import Login

_NAME = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")


class _Entry(Struct):
    user: str
    password: str
    added_at: float


class Registries:
    """The file, and what is in it."""

    def __init__(self, folder: Path) -> None:
        """Read it; UsageError when it is not what it should be."""
        self._path = folder / "registries.toml"
        self._entries: dict[str, _Entry] = {}
        try:
            self._entries = convert(tomllib.loads(self._path.read_text(encoding="utf-8")), dict[str, _Entry])
        except FileNotFoundError:
            return
        except (OSError, ValueError) as problem:
            raise UsageError(f"{self._path} cannot be read as logins of registries: {problem}") from None

    def login(self, registry: str, user: str, password: str) -> None:
        """Remember a login, in the place of an earlier one to the same registry."""
        if not _NAME.fullmatch(registry):
            raise UsageError(f"{registry!r} is no registry: give its host, or host:port (docker.io for Docker Hub)")
        if not user or not user.isprintable() or not password:
            raise UsageError("a login has a user and a password")
        self._write({**self._entries, registry: _Entry(user, password, time.time())})

    def logout(self, registry: str) -> None:
        """Forget the login to a registry."""
        if registry not in self._entries:
            raise NotFound(f"no login to {registry} is known: `scitq manage registry list` shows those that are")
        self._write({name: entry for name, entry in self._entries.items() if name != registry})

    def logins(self) -> tuple[Login, ...]:
        """For the workers."""
        return tuple(Login(name, entry.user, entry.password) for name, entry in self._entries.items())

    def __iter__(self) -> Iterator[Registry]:
        """For whoever asks: without passwords."""
        for name, entry in sorted(self._entries.items()):
            yield Registry(registry=name, user=entry.user, added_at=entry.added_at)

    def _write(self, entries: dict[str, _Entry]) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            fresh.unlink(missing_ok=True)
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                tomli_w.dump(to_builtins(entries), file)
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(self._path)
            sync_folder(self._path.parent)
        except OSError as problem:
            raise Unavailable(f"the login cannot be kept: {self._path}: {problem.strerror}") from None
        self._entries = entries
