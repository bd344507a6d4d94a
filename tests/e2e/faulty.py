"""A file system that passes everything on to a folder, but for faults: `python -m tests.e2e.faulty`.

It is real: a FUSE mount, so that whoever works on it sees what a bad disk would say, through the kernel. A fault is a
file `<op>` in the folder of faults: how many calls fail and how (`EIO`, or `short` for half of a write), for files
whose name holds the last word. Every creation, write and sync is noted: op, inode, name, how it went.
"""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.mesh import DEADLINE, until
from tests.sources import ROOT

SHORT = "short"
CHANGES = ("create", "write", "fallocate", "rename", "fsync", "fsyncdir")


class Call(NamedTuple):
    """One write or sync as the file system saw it."""

    op: str
    inode: int
    name: str
    result: str


class FaultyDisk:
    """The mount, what lies under it, and its faults."""

    def __init__(self, folder: Path) -> None:
        self.mount, self.under = folder / "mount", folder / "under"
        self._faults, self._log = folder / "faults", folder / "calls"
        for each in (self.mount, self.under, self._faults):
            each.mkdir()
        self._log.touch()

    def fail(self, op: str, how: str = "EIO", *, times: int = 1_000_000, name: str = "") -> None:
        """Have the next calls fail whose file's name holds `name`."""
        new = self._faults / f".{op}"
        new.write_text(f"{times} {how} {name}")
        new.rename(self._faults / op)

    def heal(self) -> None:
        for fault in self._faults.iterdir():
            fault.unlink()

    def calls(self) -> list[Call]:
        rows = [line.split(" ") for line in self._log.read_text().splitlines()]
        return [Call(op, int(inode), name, result) for op, inode, name, result in rows]

    @contextmanager
    def mounted(self) -> Iterator["FaultyDisk"]:
        words = [
            sys.executable,
            "-m",
            "tests.e2e.faulty",
            *map(str, (self.mount, self.under, self._faults, self._log)),
        ]
        with subprocess.Popen(words, cwd=ROOT) as process:
            try:
                until(lambda: os.path.ismount(self.mount) or process.poll() is not None, "the file system is mounted")
                assert process.poll() is None, "the file system could not be mounted"
                yield self
            finally:
                subprocess.run(["umount", str(self.mount)], check=True)
                process.wait(DEADLINE)


@contextmanager
def faulty_disk(folder: Path) -> Iterator[FaultyDisk]:
    """A file system to break; the test is skipped where none can be mounted."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK) or os.geteuid():
        pytest.skip("needs /dev/fuse, and root to mount")
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as problem:
        pytest.skip(f"needs libfuse: {problem}")
    folder.mkdir()
    with FaultyDisk(folder).mounted() as disk:
        yield disk


def main(mount: str, under: str, faults: str, calls: str) -> None:
    """Serve until unmounted."""
    import mfusepy

    log = os.open(calls, os.O_WRONLY | os.O_APPEND)

    def fault(op: str, name: str) -> str:
        path = os.path.join(faults, op)
        try:
            with open(path) as file:
                times, how, part = file.read().split(" ")
        except FileNotFoundError:
            return ""
        if int(times) == 0 or part not in name:
            return ""
        with open(f"{faults}/.{op}.less", "w") as file:
            file.write(f"{int(times) - 1} {how} {part}")
        os.rename(f"{faults}/.{op}.less", path)
        return how

    def check(op: str, path: str, fd: int) -> str:
        how = fault(op, path)
        inode = os.fstat(fd).st_ino if fd >= 0 else 0
        os.write(log, f"{op} {inode} {os.path.basename(path)} {how or 'done'}\n".encode())
        if how and how != SHORT:
            raise OSError(getattr(errno, how), os.strerror(getattr(errno, how)))
        return how

    class Pass(mfusepy.Operations):  # type: ignore[misc]
        use_ns = True

        def getattr(self, path: str, fh: Any = None) -> dict[str, int]:
            found = os.lstat(under + path) if fh is None else os.fstat(fh)
            names = ("st_atime_ns", "st_ctime_ns", "st_mtime_ns")
            told = {name.removesuffix("_ns"): getattr(found, name) for name in names}
            plain = ("st_gid", "st_mode", "st_nlink", "st_size", "st_uid", "st_ino", "st_blocks")
            return told | {name: getattr(found, name) for name in plain}

        def readdir(self, path: str, fh: int) -> list[str]:
            return [".", "..", *os.listdir(under + path)]

        def open(self, path: str, flags: int) -> int:
            return os.open(under + path, flags & ~os.O_APPEND)

        def create(self, path: str, mode: int, fi: Any = None) -> int:
            if how := fault("create", path):
                raise OSError(getattr(errno, how), os.strerror(getattr(errno, how)))
            fd = os.open(under + path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
            os.write(log, f"create {os.fstat(fd).st_ino} {os.path.basename(path)} done\n".encode())
            return fd

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            return os.pread(fh, size, offset)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            short = check("write", path, fh)
            return os.pwrite(fh, data[: (len(data) + 1) // 2] if short else data, offset)

        def fsync(self, path: str, datasync: int, fh: int) -> int:
            check("fsync", path, fh)
            os.fdatasync(fh)
            return 0

        def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
            check("fsyncdir", path, -1)
            return 0

        def fallocate(self, path: str, mode: int, offset: int, size: int, fh: int) -> int:
            check("fallocate", path, fh)
            os.posix_fallocate(fh, offset, size)
            return 0

        def truncate(self, path: str, length: int, fh: int | None = None) -> int:
            os.truncate(under + path if fh is None else fh, length)
            return 0

        def release(self, path: str, fh: int) -> int:
            os.close(fh)
            return 0

        def rename(self, old: str, new: str) -> int:
            check("rename", new, -1)
            os.rename(under + old, under + new)
            return 0

        def unlink(self, path: str) -> int:
            os.unlink(under + path)
            return 0

        def mkdir(self, path: str, mode: int) -> int:
            os.mkdir(under + path, mode)
            return 0

        def rmdir(self, path: str) -> int:
            os.rmdir(under + path)
            return 0

        def link(self, target: str, source: str) -> int:
            os.link(under + source, under + target)
            return 0

        def chmod(self, path: str, mode: int) -> int:
            os.chmod(under + path, mode)
            return 0

        def chown(self, path: str, uid: int, gid: int) -> int:
            os.chown(under + path, uid, gid)
            return 0

        def utimens(self, path: str, times: Any = None) -> int:
            os.utime(under + path, ns=times)
            return 0

        def statfs(self, path: str) -> dict[str, int]:
            found = os.statvfs(under + path)
            names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_frsize")
            return {name: getattr(found, name) for name in names} | {"f_namemax": 255}

    mfusepy.FUSE(Pass(), mount, foreground=True, nothreads=True, hard_remove=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
