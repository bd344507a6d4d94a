"""What the journal's tests share: a small journal written, and read back as a starting broker would."""

import os
from collections.abc import Sequence
from pathlib import Path

from scitq.broker.journal import Journal

SMALL = 4096


class Killed(Journal):
    """A journal whose process may be killed at any moment: the kernel then closes what it had open."""

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:  # an open that was refused made none
            os.close(self._fd)


def start(folder: Path, segment_bytes: int = SMALL, reserve_bytes: int = SMALL) -> tuple[Journal, list[bytes]]:
    """A live journal, and what its replay gave."""
    journal = Killed.open(folder, segment_bytes, reserve_bytes)
    return journal, list(journal.replay())


def write(folder: Path, bodies: Sequence[bytes]) -> Journal:
    """Append `bodies`, and leave the journal as a killed broker leaves it."""
    journal, _ = start(folder)
    for body in bodies:
        journal.append(body)
    return journal


def last_segment(folder: Path) -> Path:
    return max(folder.glob("*.journal"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, by its name there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip(path: Path, offset: int) -> None:
    """Change one byte of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))
