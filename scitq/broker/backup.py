"""Copies of a state's journal and output, taken while a broker runs on them.

Copy the journal first: the output it names is on disk before it, so a later copy of the output has all of it.
A copy laid into an empty state folder is a state.
"""

import contextlib
import os
from pathlib import Path

from scitq.broker import durable, segments
from scitq.broker.segments import JournalDamaged, data_ranges

_TRIES = 5
_PIECE = 1 << 20


def backup(folder: Path, destination: Path) -> None:
    """Copy the journal in `folder` to the new folder `destination`: whole frames only, proven while read.

    Raises JournalDamaged, JournalNewer, FileExistsError, OSError.
    """
    destination.mkdir(mode=0o700, parents=True)
    for left in reversed(range(_TRIES)):
        try:
            for source in segments.read_chain(folder).sources:
                for _ in source.frames():
                    pass
                _copy(source.path, destination / source.path.name, source.size)
            break
        except (FileNotFoundError, JournalDamaged):
            # If it is not damage, a compaction put a snapshot in the place of these files meanwhile: look
            # again.
            if not left:
                raise
            for path in destination.iterdir():
                path.unlink()
    durable.sync_folder(destination)


def backup_logs(folder: Path, destination: Path) -> None:
    """Copy the output in `folder` to the new folder `destination`; what is deleted meanwhile may be missing."""
    destination.mkdir(mode=0o700, parents=True)
    for path in sorted(folder.glob("*.log")):
        with contextlib.suppress(FileNotFoundError):
            _copy(path, destination / path.name, path.stat().st_size)
    durable.sync_folder(destination)


def _copy(path: Path, copy: Path, size: int) -> None:
    """The first `size` bytes of `path`, holes left holes."""
    with path.open("rb") as source, copy.open("xb") as target:
        for start, end in data_ranges(source.fileno()):
            for offset in range(start, min(end, size), _PIECE):
                data = os.pread(source.fileno(), min(_PIECE, end - offset, size - offset), offset)
                durable.write_all(target.fileno(), data, offset)
        os.ftruncate(target.fileno(), size)
        os.fsync(target.fileno())
