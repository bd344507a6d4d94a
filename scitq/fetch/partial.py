"""A file that is not whole yet, kept beside its final name so that whoever comes next goes on from there."""

import errno
import fcntl
import hashlib
import os
import re
import threading
import time
from contextlib import suppress
from functools import cache
from typing import Self

from scitq.fetch.spans import Span, Spans
from scitq.fetch.storage import FetchError

# The names of files that are not whole: no storage lists them.
NOT_WHOLE = re.compile(r"\.fetch-[0-9a-f]{16}(\.json(\.new)?|\.aria2c(\.json|\.aria2(__temp)?)?|-[0-9a-f]{16})?")

# Between two saves, growing from the first to the other: what is lost when the process dies. What dies with the
# machine is what came since the last pause of full length: only then the disk is waited for.
_FIRST_S, _SAVE_S = 0.1, 5.0
_RESERVED = 64 << 20  # bytes; smaller files are not worth asking for the room first
_PLENTY = 8  # times the size is free: nobody will lack it, and to take it first is slow where files are in memory
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Partial:
    """A context manager; left without `finish`, it keeps what came for the next one of the same version.

    Its methods may be called by several threads; `fd` is to be written by pwrite, and then told by `wrote`.
    """

    def __init__(self, target: str, version: str, size: int) -> None:
        """`version` of the source: anything kept of another one is thrown away, "" always; `size` -1: not known.

        Makes missing folders. Raises OSError, and FetchError when another process or thread is at the same file,
        or when the disk has no room for it.
        """
        self.size = size
        self._target = target
        self._version = version
        self._path = beside(target)
        self._sidecar = f"{self._path}.json"
        self._spans = Spans()
        self._guard = threading.Lock()
        self._saver: threading.Thread | None = None
        self._failure: OSError | None = None
        self._saved = self._lasting = False  # whether there is a sidecar, and of what is on disk
        self._done = False
        self.fd = lock(self._path)
        try:
            self._remember()
            _reserve(self.fd, size)
        except BaseException:
            if not self._spans.end:
                os.unlink(self._path)
            os.close(self.fd)
            raise
        self._pause_s = _FIRST_S
        self._save_at = time.monotonic() + self._pause_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._saver is not None:
                self._saver.join()
            if not self._done:
                self._keep()
        finally:
            os.close(self.fd)

    def here(self) -> list[Span]:
        """The ranges that have come, in order."""
        with self._guard:
            return self._spans.all()

    def missing(self, block: int) -> list[Span]:
        """The ranges that have not, each at most `block` bytes; for an unknown size one, without an end: (0, -1)."""
        with self._guard:
            return [(0, -1)] if self.size < 0 else self._spans.missing(self.size, block)

    def wrote(self, begin: int, end: int) -> None:
        """Take in that these bytes are in the file. Raises OSError when the disk failed since the last call."""
        with self._guard:
            self._spans.add(begin, end)
            if self._failure is not None:
                raise self._failure
            now = time.monotonic()
            if now < self._save_at or not self._version or (self._saver is not None and self._saver.is_alive()):
                return
            # In a thread of its own: a slow disk must not hold up the connection.
            lasting = self._pause_s >= _SAVE_S
            self._saver = threading.Thread(target=self._save_aside, args=(lasting,), daemon=True)
            self._saver.start()
            self._pause_s = min(2 * self._pause_s, _SAVE_S)
            self._save_at = now + self._pause_s

    def finish(self, modified: float | None = None) -> None:
        """Give the file its final name, in the place of what has it, and the time of its source (seconds since 1970).

        What took so long that it was brought to the disk meanwhile is there before it has that name. Raises OSError.
        """
        if self._saver is not None:
            self._saver.join()
        if self._failure is not None:
            raise self._failure
        size = self._spans.front
        if self.size not in (-1, size) or size != self._spans.end:
            raise FetchError(f"{size} bytes of {self.size}", retry=True)
        os.ftruncate(self.fd, size)
        if modified is not None:
            os.utime(self.fd, (modified, modified))
        if self._lasting:
            os.fdatasync(self.fd)
        os.rename(self._path, self._target)
        self._done = True
        if self._saved:
            os.unlink(self._sidecar)

    def discard(self) -> None:
        """Throw away what came: it is not what it should be."""
        if self._saver is not None:
            self._saver.join()
        self._begin_anew()
        os.unlink(self._path)
        self._done = True

    def _remember(self) -> None:
        """Take up what the sidecar tells, if it is of this version and nothing speaks against it."""
        try:
            with open(self._sidecar, "rb") as stream:
                content = stream.read()
        except FileNotFoundError:
            os.ftruncate(self.fd, 0)
            return
        self._saved = self._lasting = True
        spans = _told(content, self._version, self.size)
        if spans is None or spans.end > os.fstat(self.fd).st_size:
            self._begin_anew()
        else:
            self._spans = spans

    def _begin_anew(self) -> None:
        # The sidecar first, and for good: it would vouch for bytes of another version.
        if self._saved:
            os.unlink(self._sidecar)
            folder = os.open(os.path.dirname(self._sidecar) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self._saved = self._lasting = False
        self._spans = Spans()
        os.ftruncate(self.fd, 0)

    def _keep(self) -> None:
        if self._version and self.size >= 0 and self._spans.end and self._failure is None:
            with suppress(OSError):  # what was told before holds; why the transfer ends is the better story
                self._save(lasting=True)
        elif not self._saved:
            os.unlink(self._path)

    def _save_aside(self, lasting: bool) -> None:
        try:
            self._save(lasting=lasting)
        except OSError as error:
            self._failure = error

    def _save(self, *, lasting: bool) -> None:
        """Tell what is here; a reader sees the old sidecar or the new one, whole.

        A `lasting` one tells what is on disk. Another one means nothing after a restart of the machine.
        """
        import json  # not before: most files are here before anything has to be kept

        told = {"version": self._version, "size": self.size, "here": self.here()}
        if lasting:
            os.fdatasync(self.fd)
        else:
            told["boot"] = _boot()
        new = f"{self._sidecar}.new"
        with open(new, "w", encoding="utf-8") as stream:
            json.dump(told, stream)
            if lasting:
                stream.flush()
                os.fdatasync(stream.fileno())
        os.rename(new, self._sidecar)
        self._saved = True
        self._lasting = self._lasting or lasting


def kept(target: str, version: str, size: int) -> int:
    """The bytes that an earlier try left beside a file for the next one of the same version."""
    try:
        with open(f"{beside(target)}.json", "rb") as stream:
            spans = _told(stream.read(), version, size)
    except FileNotFoundError:
        return 0
    return 0 if spans is None else sum(end - begin for begin, end in spans.all())


def _told(content: bytes, version: str, size: int) -> Spans | None:
    """What a sidecar tells to be here of this version; None when it is of another, or cannot be true."""
    import json

    with suppress(ValueError, TypeError, KeyError):
        told = json.loads(content)
        spans = Spans()
        for begin, end in told["here"]:
            if not 0 <= begin < end:
                raise ValueError(begin, end)
            spans.add(begin, end)
        alive = "boot" not in told or told["boot"] == _boot()
        if version and alive and spans.end <= size and (told["version"], told["size"]) == (version, size):
            return spans
    return None


@cache
def _boot() -> str:
    """What tells this start of the machine from all others."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip()


def beside(target: str) -> str:
    """The path of what is not whole yet of a file: in the same folder, short, hidden."""
    folder, name = os.path.split(target)
    return os.path.join(folder, ".fetch-" + hashlib.sha256(os.fsencode(name)).hexdigest()[:16])


def lock(path: str) -> int:
    """A descriptor of the file of this name, made when need be, that nobody else has; raises as Partial does."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            here, named = os.fstat(fd), os.stat(path, follow_symlinks=False)
            if (here.st_dev, here.st_ino) == (named.st_dev, named.st_ino):
                return fd
        except FileNotFoundError:
            pass  # whoever had it has just finished
        except BlockingIOError:
            os.close(fd)
            raise FetchError("another process is fetching the same file to the same place", retry=True) from None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _reserve(fd: int, size: int) -> None:
    """Take the room on the disk, so that a lack of it shows now and not in hours."""
    if size < _RESERVED:
        return
    status = os.fstatvfs(fd)
    free = status.f_bavail * status.f_frsize + os.fstat(fd).st_blocks * 512
    no_room = FetchError(f"no room on the disk: {size} bytes are needed, {free} are free", retry=False)
    # Asked first: ext4 takes all there is before it says that it is not enough, and others find the disk full.
    if status.f_blocks and free < size:  # no blocks at all: the file system does not tell
        raise no_room
    if free >= _PLENTY * size:
        return
    import ctypes

    # Not os.posix_fallocate: where the file system cannot (NFS before 4.2), it writes to every block.
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.fstat(fd).st_size
    if libc.fallocate(fd, 0, ctypes.c_int64(0), ctypes.c_int64(size)) and ctypes.get_errno() in _NO_ROOM:
        os.ftruncate(fd, before)
        raise no_room
