"""The hidden folder in which what is fetched waits until it is complete, and from which a later try goes on."""

import fcntl
import os
import shutil
from contextlib import suppress
from hashlib import sha256
from types import TracebackType
from typing import Self

from scitq.fetch.naming import may_pass
from scitq.fetch.storage import FetchError, Stopped

_PREFIX = ".fetch-"


class Gathering:
    """A context manager: one process or thread at a time is in it.

    It has the name of the address and the version that are fetched. Left by what may pass, by a stop, or by a kill,
    it keeps what came; what was kept of another version of the same address goes.
    """

    def __init__(self, folder: str, address: str, version: str) -> None:
        self._folder = folder
        self._begin = f"{_PREFIX}{_short(address)}-"
        self.path = os.path.join(folder, self._begin + _short(version))
        self.files = os.path.join(self.path, "files")  # what came: each file of a final name is whole

    def __enter__(self) -> Self:
        """Raises FetchError while somebody else is in it."""
        lock = _locked(self.path)
        if lock is None:
            raise FetchError("is being fetched to the same place by another process", retry=True)
        self._lock = lock
        self._remove_older()
        if os.path.lexists(self._work):  # its files were already used up
            self.empty()
        os.makedirs(self.files, exist_ok=True)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        try:
            ends = error is None or not (may_pass(error) or isinstance(error, Stopped))
            if ends or os.path.lexists(self._work) or not os.listdir(self.files):
                shutil.rmtree(self.path, ignore_errors=True)
        finally:
            os.close(self._lock)

    @property
    def _work(self) -> str:
        return os.path.join(self.path, "work")

    def empty(self) -> None:
        """Throw away what came."""
        for name in os.listdir(self.path):
            if name != _LOCK:
                shutil.rmtree(os.path.join(self.path, name))
        os.makedirs(self.files)

    def use_up(self) -> str:
        """The folder of all files, from now on to be changed: no later try goes on from it."""
        os.rename(self.files, self._work)
        return self._work

    def _remove_older(self) -> None:
        for name in os.listdir(self._folder):
            path = os.path.join(self._folder, name)
            if name.startswith(self._begin) and path != self.path and (lock := _locked(path)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


_LOCK = "lock"


def _locked(path: str) -> int | None:
    """The lock of a folder, made when it is not there; None while somebody has it."""
    while True:
        with suppress(FileExistsError):
            os.mkdir(path)
        name = os.path.join(path, _LOCK)
        with suppress(FileNotFoundError):  # whoever had it has just removed it all
            lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(lock), os.stat(name)):
                    return lock
            except BlockingIOError:
                os.close(lock)
                return None
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)


def _short(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
