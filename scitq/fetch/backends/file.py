"""Local disks, and what is mounted like one. Links are followed: what counts is the content they lead to."""

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from typing import BinaryIO

from scitq.fetch.storage import DEEPEST, Entry, FetchError, Watch, why

_BLOCK = 16 << 20  # bytes between two looks at the clock, and at `stop`
_NOT_IN_KERNEL = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class Backend:
    """The `Storage` of plain paths and file://."""

    def stat(self, path: str) -> Entry:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise FetchError("is a folder (a trailing / means all that is in it)", retry=False)
        if not stat.S_ISREG(status.st_mode):
            raise FetchError("is not a regular file", retry=False)
        return _entry(os.path.basename(path), status)

    def walk(self, path: str) -> Iterator[Entry]:
        top = os.stat(path.rstrip("/") or "/")  # with a slash, a file would only be called no directory
        if not stat.S_ISDIR(top.st_mode):
            raise FetchError("is a file, not a folder", retry=False)
        yield from _walk(path, (top.st_dev, top.st_ino))

    def open(self, path: str) -> BinaryIO:
        return open(path, "rb")

    def download(self, path: str, target: str, watch: Watch) -> int:
        try:
            return _copy(path, target, watch)
        except FileNotFoundError:
            # Not whether the folder is there by now: somebody else may just have made it.
            if not os.path.exists(path):
                raise
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return _copy(path, target, watch)

    def upload(self, source: str, path: str, watch: Watch) -> int:
        # A name of its own beside the last one, and short: the last one may be as long as names can be.
        partial = os.path.join(os.path.dirname(path), f".fetch-{uuid.uuid4().hex}")
        try:
            count = self.download(source, partial, watch)
            os.rename(partial, path)
        except BaseException:
            if os.path.lexists(partial):
                os.unlink(partial)
            raise
        return count


def _entry(name: str, status: os.stat_result) -> Entry:
    return Entry(name, status.st_size, f"{status.st_size}:{status.st_mtime_ns}")


def _walk(top: str, identity: tuple[int, int]) -> Iterator[Entry]:
    """Depth first; a folder that cannot be entered is one entry, with the trouble."""
    # What is left to visit of each folder on the way here, its prefix, and the identities of the way: a link
    # back to one of these would never end.
    way = [(iter(_scan(top)), "", frozenset({identity}))]
    while way:
        found, prefix, above = way[-1]
        one = next(found, None)
        if one is None:
            way.pop()
            continue
        name = prefix + one.name
        try:
            status = one.stat()
            if stat.S_ISREG(status.st_mode):
                yield _entry(name, status)
            elif not stat.S_ISDIR(status.st_mode):
                yield Entry(name, 0, "", "is neither a file nor a folder")
            elif (here := (status.st_dev, status.st_ino)) in above:
                yield Entry(name, 0, "", "is a link to a folder it is in")
            elif len(way) > DEEPEST:
                yield Entry(name, 0, "", f"is more than {DEEPEST} folders deep")
            else:
                way.append((iter(_scan(one.path)), name + "/", above | {here}))
        except OSError as error:
            gone = one.is_symlink() and isinstance(error, FileNotFoundError)
            yield Entry(name, 0, "", "is a link that leads nowhere" if gone else why(error))


def _scan(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return sorted(found, key=lambda one: one.name)


def _copy(source: str, target: str, watch: Watch) -> int:
    """Copy content, permissions (less the umask) and times to a new file; a source must not change."""
    watch.check()
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        before = os.fstat(reading)
        mode = stat.S_IMODE(before.st_mode) & 0o777 | 0o600
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            count = _pour(reading, writing, before.st_size, watch)
            os.utime(writing, ns=(before.st_atime_ns, before.st_mtime_ns))
        finally:
            os.close(writing)
        after = os.fstat(reading)
    finally:
        os.close(reading)
    if (count, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise FetchError("changed while it was read", retry=True)
    return count


def _pour(reading: int, writing: int, size: int, watch: Watch) -> int:
    """Copy up to `size` bytes inside the kernel, which may share the blocks; by hand where it cannot."""
    count = 0
    try:
        while count < size and (moved := os.copy_file_range(reading, writing, min(_BLOCK, size - count))):
            count += moved
            watch.moved(moved)
        return count
    except OSError as error:
        if count or error.errno not in _NOT_IN_KERNEL:
            raise
    while count < size and (block := os.read(reading, min(1 << 20, size - count))):
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(writing, rest) :]
        count += len(block)
        watch.moved(len(block))
    return count
