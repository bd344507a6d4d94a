"""Disks for a state to lie on, small or read-only, and a broker whose state alone lies there."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.mesh import BrokerProcess


@contextmanager
def broker_on(folder: Path, state: Path) -> Iterator[BrokerProcess]:
    """A broker whose state alone lies on the disk that is tried."""
    process = BrokerProcess(folder)
    process.state = state
    process.start()
    try:
        yield process
    except BaseException:
        print(process.said()[-5_000:])
        raise
    finally:
        process.end()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    small = folder / "small"
    small.mkdir()
    options = f"size={size},mode=700"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(small)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield small
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Mounted over itself so that nothing below can be created; what is open stays open."""
    for options in (["--bind", str(folder)], ["-o", "remount,bind,ro"]):
        subprocess.run(["mount", *options, str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
