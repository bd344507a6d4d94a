"""Writing files of the journal so that a crash at any step leaves them whole or absent."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from scitq.broker import frames, reserve, segments
from scitq.broker.frames import Header

# A file being written; whatever still has this ending at a start was left by a crash.
TEMPORARY = ".tmp"


def sync_folder(folder: Path) -> None:
    """Make creations, renames and removals in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`: a disk that fills up takes a part first and fails at the rest."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def write_segment(folder: Path, header: Header, bodies: Sequence[bytes], room: int) -> tuple[int, int]:
    """A new segment and its first frames, on disk before it is named; its descriptor, the frames' end.

    It has room for `room` bytes if the disk has, else that of the reserve. Raises OSError, and leaves
    nothing.
    """
    data = frames.encode_header(header) + b"".join(
        frames.encode_frame(header, number, body) for number, body in enumerate(bodies, header.first)
    )
    path = segments.file_path(folder, header.kind, header.segment)
    temporary = path.with_name(path.name + TEMPORARY)
    fd = -1
    try:
        try:
            fd = reserve.allocate(temporary, max(room, len(data)))
        except OSError:
            fd = reserve.take(folder, reserve.SEGMENT, temporary)
        write_all(fd, data, 0)
        os.fsync(fd)
        os.rename(temporary, path)
        sync_folder(folder)
    except OSError:
        if fd >= 0:
            os.close(fd)
        for left in (temporary, path):
            with contextlib.suppress(OSError):
                os.unlink(left)
        raise
    return fd, len(data)


def copy_aside(path: Path, start: int, end: int, aside: Path) -> None:
    """Keep the bytes of `path` from `start` to `end` in `aside`, durably. Raises OSError, leaving nothing."""
    temporary = aside.with_name(aside.name + TEMPORARY)
    try:
        with path.open("rb") as source, temporary.open("wb") as file:
            source.seek(start)
            file.write(source.read(end - start))
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, aside)
        sync_folder(aside.parent)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def remove_leftovers(folder: Path, ending: str = TEMPORARY) -> None:
    """Remove the files whose writing was never finished."""
    for name in os.listdir(folder):
        if name.endswith(ending):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(folder / name)
