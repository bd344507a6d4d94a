"""The files that stored output lies in, by number and position.

`00000001.log` holds the positions of file 1 from 0 on. When a write or sync of it fails it is never synced
again: `00000001-0000c0de.log` takes over at the position, in hexadecimal, where what was durable ended, and
every pointer stays what it was. A position lies in the piece with the highest start that is not above it.
"""

import contextlib
import ctypes
import os
from pathlib import Path

from scitq.broker.durable import sync_folder, write_all

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_PAGE = 4096


class LogFiles:
    """One writer, any number of readers: a reader sees a file's pieces as they were or as they are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pieces: dict[int, tuple[int, ...]] = {}
        self._failed: set[int] = set()
        self._fd = -1
        self._written = 0  # the file that _fd writes
        for name in os.listdir(folder):
            file, _, start = name.removesuffix(".log").partition("-")
            if name.endswith(".log") and file.isdecimal():
                starts = (*self._pieces.get(int(file), ()), int(start or "0", 16))
                self._pieces[int(file)] = tuple(sorted(starts))

    def numbers(self) -> list[int]:
        """The numbers of the files there are, rising."""
        return sorted(self._pieces)

    def end(self, file: int) -> int:
        """The position just past all that `file` holds, whether it is named by anything or not."""
        start = self._pieces[file][-1]
        return start + self._path(file, start).stat().st_size

    def write(self, file: int, position: int, data: bytes) -> None:
        """Write `data` at `position`, the present end of `file`, and sync it. Raises OSError; then write it again."""
        try:
            start = self._open(file, position)
            write_all(self._fd, data, position - start)
            os.fdatasync(self._fd)
        except OSError:
            self._failed.add(file)
            self.close()
            raise

    def read(self, file: int, position: int, size: int) -> bytes:
        """What `file` holds there, at most `size` bytes. Raises OSError when it was removed."""
        path, offset = self._place(file, position)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, size, offset)
        finally:
            os.close(fd)

    def where(self, file: int, position: int) -> str:
        """The place in words."""
        path, offset = self._place(file, position)
        return f"{path}, offset {offset}"

    def remove(self, file: int) -> None:
        """Remove `file`; a piece that is gone already is no error."""
        for start in self._pieces.pop(file, ()):
            self._path(file, start).unlink(missing_ok=True)

    def punch(self, file: int, position: int, size: int) -> None:
        """Give the whole pages of a range back to the disk, where the filesystem can do so."""
        path, offset = self._place(file, position)
        begin, end = -(-offset // _PAGE) * _PAGE, (offset + size) // _PAGE * _PAGE
        if begin < end:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                _LIBC.fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, begin, end - begin)
            finally:
                os.close(fd)

    def close(self) -> None:
        """Close the file being written; a write opens it again."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):
                os.close(fd)

    def _open(self, file: int, position: int) -> int:
        """Have _fd write the last piece of `file`, a new one if that failed; returns where the piece starts."""
        starts = self._pieces.get(file, ())
        if starts and file not in self._failed:
            if self._fd < 0 or self._written != file:
                self.close()
                self._fd = os.open(self._path(file, starts[-1]), os.O_RDWR | os.O_CLOEXEC)
                self._written = file
            return starts[-1]
        self.close()
        path = self._path(file, position)
        if position in starts:
            # The failed piece holds nothing durable: another file takes its name.
            path.unlink(missing_ok=True)
            starts = tuple(start for start in starts if start != position)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._written = file
        self._pieces[file] = (*starts, position)
        sync_folder(self._folder)
        self._failed.discard(file)
        return position

    def _place(self, file: int, position: int) -> tuple[Path, int]:
        start = max((start for start in self._pieces.get(file, ()) if start <= position), default=0)
        return self._path(file, start), position - start

    def _path(self, file: int, start: int) -> Path:
        return self._folder / (f"{file:08d}-{start:08x}.log" if start else f"{file:08d}.log")


_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
