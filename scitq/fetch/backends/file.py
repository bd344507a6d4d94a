"""Local disks, and what is mounted like one. Links are followed: what counts is the content they lead to."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import BinaryIO, NoReturn

from scitq.fetch.partial import NOT_WHOLE
from scitq.fetch.storage import DEEPEST, Entry, FetchError, NotThere, Refused, Watch, why
from scitq.fetch.uri import Uri

_BLOCK = 16 << 20  # bytes between two looks at the clock, and at `stop`
_NOT_IN_KERNEL = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class Backend:
    """The `Storage` of plain paths and file://."""

    def __init__(self, uri: Uri) -> None:
        self._top = uri.path.rstrip("/") or "/"

    def stat(self, path: str) -> Entry:
        try:
            status = os.stat(path)
        except OSError as error:
            _refuse(error)
        if stat.S_ISDIR(status.st_mode):
            raise FetchError("is a folder (a trailing / means all that is in it)", retry=False)
        if not stat.S_ISREG(status.st_mode):
            raise FetchError("is not a regular file", retry=False)
        return _entry(os.path.basename(path), status)

    def walk(self, path: str) -> Iterator[Entry]:
        top, identity = _folder(path)
        yield from _walk(top, identity)

    def children(self, path: str) -> Iterator[Entry]:
        top, _ = _folder(path)
        for one in _scan(top):
            found = _look(one, one.name)
            yield Entry(one.name + "/", -1, "") if isinstance(found, os.stat_result) else found

    def open(self, path: str) -> BinaryIO:
        return open(path, "rb")

    def download(self, path: str, entry: Entry, target: str, watch: Watch) -> int:
        try:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            _refuse(error)
        try:
            return _copy(source, entry, target, watch)
        finally:
            os.close(source)

    def upload(self, source: str, path: str, watch: Watch) -> int:
        return self.download(source, self.stat(source), path, watch)

    def write(self, content: BinaryIO, size: int, path: str, watch: Watch) -> int:
        with _written_beside(path, 0o666) as file:
            count = 0
            while block := content.read(1 << 20):
                _write_all(file, block)
                count += len(block)
                watch.moved(len(block))
            if size not in {-1, count}:
                raise FetchError(f"{count} bytes of {size}", retry=True)
        return count

    def copy(self, source: str, path: str, watch: Watch) -> bool:
        self.upload(source, path, watch)
        return True

    def delete(self, paths: Iterable[str], watch: Watch) -> Iterator[tuple[str, str]]:
        """Folders in which nothing is left go too, up to the one asked for; nothing is deleted through a link."""
        free = {self._top}
        for path in paths:
            watch.check()
            is_free = _is_free(os.path.dirname(path), self._top, free)
            yield path, _unlink(path) if is_free else "lies behind a link to a folder: only the link can be deleted"
        for folder in sorted(free, key=len, reverse=True):
            _remove_empty(folder)
        if not any(files for _, _, files in os.walk(self._top)):
            for folder, _, _ in os.walk(self._top, topdown=False):
                _remove_empty(folder)


def _refuse(error: OSError) -> NoReturn:
    """Raise what the system says as the seam names it."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        raise NotThere(why(error), retry=False) from error
    if isinstance(error, PermissionError):
        raise Refused(why(error), retry=False) from error
    raise error


def _entry(name: str, status: os.stat_result) -> Entry:
    return Entry(name, status.st_size, _version(status), modified=status.st_mtime)


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}"


def _folder(path: str) -> tuple[str, tuple[int, int]]:
    """A folder that is there, and its identity."""
    path = path.rstrip("/") or "/"  # with a slash, a file would only be called no directory
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        _refuse(error)
    if not stat.S_ISDIR(status.st_mode):
        raise NotThere("is a file, not a folder", retry=False)
    return path, (status.st_dev, status.st_ino)


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
        status = _look(one, name)
        if isinstance(status, Entry):
            yield status
        elif (here := (status.st_dev, status.st_ino)) in above:
            yield Entry(name, 0, "", "is a link to a folder it is in")
        elif len(way) > DEEPEST:
            yield Entry(name, 0, "", f"is more than {DEEPEST} folders deep")
        else:
            try:
                way.append((iter(_scan(one.path)), name + "/", above | {here}))
            except OSError as error:
                yield Entry(name, 0, "", why(error))


def _look(one: os.DirEntry[str], name: str) -> Entry | os.stat_result:
    """A file, or why it is none, as an entry; of a folder, what the system tells."""
    try:
        status = one.stat()
    except OSError as error:
        gone = one.is_symlink() and isinstance(error, FileNotFoundError)
        return Entry(name, 0, "", "is a link that leads nowhere" if gone else why(error))
    if stat.S_ISDIR(status.st_mode):
        return status
    if stat.S_ISREG(status.st_mode):
        return _entry(name, status)
    return Entry(name, 0, "", "is neither a file nor a folder")


def _scan(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder, in the order that the whole names of the files in it have."""
    with os.scandir(folder) as found:
        whole = [one for one in found if not NOT_WHOLE.fullmatch(one.name)]
    return sorted(whole, key=_place_in_order)


def _place_in_order(one: os.DirEntry[str]) -> str:
    try:
        return one.name + "/" if one.is_dir() else one.name
    except OSError:
        return one.name


@contextmanager
def _written_beside(path: str, mode: int) -> Iterator[int]:
    """A new file that gets its name at the end, and is gone when that does not come.

    What a killed process left is taken away; while another one lives and writes, raises FetchError.
    """
    folder, name = os.path.split(path)
    beside = os.path.join(folder, f".fetch-{sha256(os.fsencode(name)).hexdigest()[:16]}")
    file = _create(beside, mode)
    try:
        yield file
        os.rename(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    finally:
        os.close(file)


def _create(path: str, mode: int) -> int:
    """A new file that is locked; missing folders are made."""
    while True:
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            continue
        except FileExistsError:
            _remove_left(path)
            continue
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(path, file):
            return file
        os.close(file)


def _remove_left(path: str) -> None:
    """Take away what a killed process left; raises FetchError while one lives that writes it."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(path, file):
            os.unlink(path)
    except BlockingIOError as error:
        raise FetchError("is being written by another process", retry=True) from error
    finally:
        os.close(file)


def _is_at(path: str, file: int) -> bool:
    """Whether this open file still has this name: who held the lock before us may have moved it on."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(file))
    except FileNotFoundError:
        return False


def _copy(reading: int, entry: Entry, target: str, watch: Watch) -> int:
    """Copy content, permissions (less the umask) and times to a new file; a source must not change."""
    watch.check()
    before = os.fstat(reading)
    if (before.st_size, _version(before)) != (entry.size, entry.version):
        raise FetchError("changed since it was listed", retry=True)
    with _written_beside(target, stat.S_IMODE(before.st_mode) & 0o777 | 0o600) as writing:
        count = _pour(reading, writing, before.st_size, watch)
        os.utime(writing, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = os.fstat(reading)
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
        _write_all(writing, block)
        count += len(block)
        watch.moved(len(block))
    return count


def _write_all(file: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(file, rest) :]


def _is_free(folder: str, top: str, free: set[str]) -> bool:
    """Whether no link is on the way from the top down to a folder; `free` grows by those of which this is so."""
    if folder in free or not folder.startswith(top.rstrip("/") + "/"):
        return True
    if os.path.islink(folder) or not _is_free(os.path.dirname(folder), top, free):
        return False
    free.add(folder)
    return True


def _unlink(path: str) -> str:
    """Why it is still there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return why(error)
    return ""


def _remove_empty(folder: str) -> None:
    with suppress(OSError):  # something is in it, or it is where we are
        os.rmdir(folder)
