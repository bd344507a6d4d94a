"""The files of a resource: sealed when they have come, and given to tasks as hard links that nobody may write."""

import hashlib
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from scitq.fetch import FetchError
from scitq.fetch.uri import one_line


class Sealed(NamedTuple):
    """What a folder held when its write bits went; `mark` changes when any file of it does."""

    size: int  # bytes
    files: int
    mark: str


def seal(folder: str) -> Sealed:
    """Take the write bits from all files; execute bits stay for everybody when the owner had them."""
    for path, status in _files(folder):
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(path, 0o555 if status.st_mode & 0o100 else 0o444)
    size = files = 0
    for _, status in _files(folder):
        size += status.st_size
        files += 1
    return Sealed(size, files, mark_of(folder))


def mark_of(folder: str) -> str:
    """Names, identities, sizes, modes and times of all files as one word; not ctime, which every link changes."""
    told = hashlib.sha256()
    for path, status in _files(folder):
        identity = (status.st_ino, status.st_size, status.st_mode, status.st_mtime_ns)
        told.update(f"{path[len(folder) :]}\0{identity}\0".encode("utf-8", "surrogateescape"))
    return told.hexdigest()[:32]


def link_all(folder: str, into: str) -> None:
    """Hard links of all files of an entry, in folders of the task's own; of two with one name the later stays.

    Raises FetchError, which does not name the address.
    """
    name = ""
    try:
        for path, _ in _files(folder):
            name = path[len(folder) + 1 :]
            _link(path, f"{into}/{name}")
        for here, folders, _ in os.walk(folder):
            for below in folders:
                name = os.path.join(here, below)[len(folder) + 1 :]
                if not os.path.islink(f"{folder}/{name}"):
                    os.makedirs(f"{into}/{name}", exist_ok=True)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise FetchError(f"{one_line(name)} is a file in one resource and a folder in another", retry=False) from None


def _link(path: str, target: str) -> None:
    try:
        os.link(path, target, follow_symlinks=False)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.link(path, target, follow_symlinks=False)
    except FileExistsError:
        os.unlink(target)
        os.link(path, target, follow_symlinks=False)


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """All that is no folder, links to folders included, in one order."""
    with os.scandir(folder) as found:
        inside = sorted(found, key=lambda one: one.name)
    for one in inside:
        if one.is_dir(follow_symlinks=False):
            yield from _files(one.path)
        else:
            yield one.path, one.stat(follow_symlinks=False)
