"""Disk room taken ahead, so that the journal goes on when the disk is full.

Two files of nothing wait in the journal's folder: `reserve.segment` becomes the next segment when no new one
can be allocated, `reserve.snapshot` becomes the file that a compaction writes. They are renamed and written
into, never released first: no other program on the machine can take the room between the two.
"""

import os
from pathlib import Path

SEGMENT = "reserve.segment"
SNAPSHOT = "reserve.snapshot"


def keep(folder: Path, name: str, size: int) -> bool:
    """Have the reserve `name` hold `size` bytes or more; False, with nothing taken, on a full disk."""
    fd = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        held = os.fstat(fd).st_size
        if held < size:
            try:
                os.posix_fallocate(fd, 0, size)
            except OSError:
                # What was allocated until the disk was full goes back to those who need it now.
                os.ftruncate(fd, held)
                return False
        return True
    finally:
        os.close(fd)


def held(folder: Path, name: str) -> int:
    """The bytes that the reserve `name` holds now."""
    try:
        return (folder / name).stat().st_size
    except FileNotFoundError:
        return 0


def allocate(path: Path, size: int) -> int:
    """A new file at `path` with room for `size` bytes; its descriptor. Raises OSError, leaving no file."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError:
        os.close(fd)
        os.unlink(path)
        raise
    return fd


def take(folder: Path, name: str, path: Path) -> int:
    """The reserve `name` moved to `path`, or else a new file without room of its own; its descriptor."""
    try:
        os.rename(folder / name, path)
    except FileNotFoundError:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)
