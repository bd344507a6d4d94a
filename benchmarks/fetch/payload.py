"""What is moved: random content, made once in a folder of memory where there is room, else on the disk."""

import filecmp
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def folder(need: int) -> Iterator[Path]:
    """A temporary folder for so many bytes: in memory, so that no disk is measured, when there is room."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 1.5 * need
    with tempfile.TemporaryDirectory(prefix="scitq-fetch-", dir=memory if roomy else None) as made:
        yield Path(made)


def file(path: Path, size: int) -> Path:
    """A file of random bytes, 4 MiB again and again: children begin with the peak of who measures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = os.urandom(min(size, 1 << 22))
    with path.open("wb") as made:
        while made.tell() < size:
            made.write(block[: size - made.tell()])
    return path


def files(path: Path, count: int, size: int) -> Path:
    """So many files, a hundred to a folder."""
    for number in range(count):
        one = path / f"{number // 100:04}" / f"{number:06}.dat"
        one.parent.mkdir(parents=True, exist_ok=True)
        one.write_bytes(os.urandom(size))
    return path


def same(one: Path, other: Path) -> None:
    """Raises RuntimeError unless two files, or all files of two folders, have the same names and content."""
    if one.is_file():
        if not (other.is_file() and filecmp.cmp(one, other, shallow=False)):
            raise RuntimeError(f"{other} is not what {one} is")
        return
    names, theirs = (
        [path.relative_to(top) for path in sorted(top.rglob("*")) if path.is_file()] for top in (one, other)
    )
    if names != theirs:
        raise RuntimeError(f"{other} has {len(theirs)} files, {one} has {len(names)}")
    for name in names:
        same(one / name, other / name)


def gone(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
