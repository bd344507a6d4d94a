"""A hidden folder beside where files will lie, for what others' programs write before anything is whole."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from scitq.fetch.partial import beside
from scitq.fetch.storage import FetchError


@contextmanager
def workroom(folder: str, purpose: str) -> Iterator[str]:
    """The path of a folder in `folder`, for one process at a time; gone after success, kept to go on from otherwise.

    Equal purposes, which are like names of files, have one room. Makes missing folders. Raises OSError, and
    FetchError while another works there.
    """
    path = _path(folder, purpose)
    os.makedirs(path, exist_ok=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_ino != os.stat(path).st_ino:  # whoever had it has just left, and removed it
                raise FileNotFoundError
        except (BlockingIOError, FileNotFoundError):
            raise FetchError("another process is fetching the same to the same place", retry=True) from None
        yield path
        shutil.rmtree(path)
    finally:
        os.close(fd)


def leave(folder: str, purpose: str) -> None:
    """Remove what was kept of a purpose that is no more, unless somebody works there. Raises OSError."""
    if os.path.lexists(_path(folder, purpose)):
        with suppress(FetchError), workroom(folder, purpose):
            pass


def _path(folder: str, purpose: str) -> str:
    return os.path.abspath(beside(os.path.join(folder, purpose)))
