"""What a container used, from who waits for it (a real process of such a name), and from its control group."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.node.containers import groups
from scitq.node.containers.groups import Counted
from scitq.node.containers.meter import Meter
from scitq.node.sampler import Use

MIB = 1 << 20
WAITER = """
import ctypes, subprocess, sys
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)
with open("before", "wb") as file:
    file.write(bytes(7 << 20))
child = subprocess.Popen([sys.executable, "-c", sys.argv[2]], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.readline()
child.communicate(b"go")
print("over", flush=True)
sys.stdin.readline()
"""
WRITES = """
import os, sys, time
sys.stdin.read()
with open("written", "wb") as file:
    file.write(bytes(50 << 20))
    os.fsync(file.fileno())
while time.process_time() < 0.3:
    pass
"""


class Engine:
    """A waiter of a name, and a container that begins its work when told."""

    def __init__(self, name: str, folder: Path) -> None:
        self.waiter = subprocess.Popen(
            [sys.executable, "-c", WAITER, name, WRITES],
            cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.waiter.stdout
        self.pid = int(self.waiter.stdout.readline())

    def run(self) -> None:
        assert self.waiter.stdin
        assert self.waiter.stdout
        self.waiter.stdin.write("\n")
        self.waiter.stdin.flush()
        assert self.waiter.stdout.readline() == "over\n"

    def end(self) -> None:
        self.waiter.communicate()


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    one = Engine(getattr(request, "param", "conmon"), tmp_path)
    yield one
    one.end()


def used(engine: Engine, *, oom: bool = False) -> Use:
    meter = Meter("/no-such-group")
    meter.begin(engine.pid)
    engine.run()
    meter.note()
    engine.end()
    meter.note()
    return meter.used(oom=oom)


@pytest.mark.parametrize("engine", ["conmon", "containerd-shim"], indirect=True)
def test_whoever_waits_for_it_tells_what_it_took_and_wrote(engine: Engine) -> None:
    found = used(engine)

    assert 0.28 < found.cpu < 10
    assert 50 * MIB <= found.written_bytes < 51 * MIB, "what the other had written before is not its own"
    assert found.memory == 0


@pytest.mark.parametrize("engine", ["sh"], indirect=True)
def test_another_parent_is_not_asked(engine: Engine) -> None:
    assert used(engine) == Use()


def test_one_that_was_over_before_it_was_seen_tells_nothing() -> None:
    meter = Meter("/no-such-group")
    meter.begin(0)
    meter.note()

    assert meter.used(oom=False) == Use()


@pytest.mark.parametrize(
    ("peak", "files", "oom", "memory"),
    [
        (120 * MIB, 50 * MIB, False, 70 * MIB),
        (120 * MIB, 90 * MIB, False, 30 * MIB),
        (120 * MIB, 0, False, 70 * MIB),  # its files are gone by now
        (40 * MIB, 40 * MIB, False, 0),
        (120 * MIB, 50 * MIB, True, 120 * MIB),
    ],
)
def test_files_are_no_memory_that_it_needs_unless_it_was_ended_for_want_of_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, peak: int, files: int, oom: bool, memory: int
) -> None:
    monkeypatch.setattr(groups, "counted", lambda _: Counted(2.5, peak, files))
    found = used(engine, oom=oom)

    assert found.cpu == 2.5
    assert memory - MIB <= found.memory <= memory
