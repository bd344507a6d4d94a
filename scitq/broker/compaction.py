"""Sealed segments folded into a snapshot. Runs in a child process: only files here, no thought for the live
broker.

The snapshot is written into the room kept for it, under a temporary name, synced every few MiB so that the
broker's own syncs never wait behind one large one, read back, and only then named. Until the live journal
adopts it, all that it stands for is still there: a crash at any step leaves either the old files or both.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from scitq.broker import durable, frames, reserve, segments
from scitq.broker.frames import Header, Kind
from scitq.broker.segments import Source

_SYNC_EVERY = 4 << 20
_TEMPORARY = f".snapshot{durable.TEMPORARY}"


def fold(folder: Path, upto: int, dump: Callable[[Iterator[bytes]], Iterator[bytes]]) -> None:
    """Write the snapshot of all segments up to `upto`; `dump` turns their bodies into its bodies.

    Does nothing when a snapshot stands for them already. Raises JournalDamaged, and OSError when the disk is
    full.
    """
    sources = [source for source in segments.read_chain(folder).sources if source.header.segment <= upto]
    if not sources or sources[-1].header.kind is Kind.SNAPSHOT:
        return
    believed = sources[-1].believed
    if believed is None:
        raise ValueError(f"segment {upto} is not sealed")
    # Another fold's leftovers: its process is dead, or was orphaned by the death of its broker and fails to
    # rename.
    durable.remove_leftovers(folder, _TEMPORARY)
    header = Header(Kind.SNAPSHOT, upto, secrets.randbits(32), believed)
    write_snapshot(folder, header, dump(frame.body for source in sources for frame in source.frames()))


def write_snapshot(folder: Path, header: Header, bodies: Iterator[bytes]) -> None:
    """Write the snapshot that `header` begins, one frame for each of `bodies`; named when whole. Raises OSError."""
    path = segments.file_path(folder, Kind.SNAPSHOT, header.segment)
    temporary = folder / f"{path.stem}-{os.getpid()}{_TEMPORARY}"
    fd = reserve.take(folder, reserve.SNAPSHOT, temporary)
    try:
        try:
            _write(fd, header, bodies)
        finally:
            os.close(fd)
        for _ in Source(temporary, header).frames():
            pass  # what will stand for all that it was made from is read back first
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    durable.sync_folder(folder)


def _write(fd: int, header: Header, bodies: Iterator[bytes]) -> None:
    durable.write_all(fd, frames.encode_header(header), 0)
    end = synced = frames.HEADER_BYTES
    number = 0
    for number, body in enumerate(bodies, 1):
        data = frames.encode_frame(header, number, body)
        durable.write_all(fd, data, end)
        end += len(data)
        if end - synced >= _SYNC_EVERY:
            os.fdatasync(fd)
            synced = end
    closing = frames.encode_closing(header, number + 1)
    durable.write_all(fd, closing, end)
    os.ftruncate(fd, end + len(closing))
    os.fsync(fd)
