"""What is seen of real trees of processes, and when it is looked for."""

import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scitq.node import sampler
from scitq.node.crew import Crew
from scitq.node.offspring import descendants
from scitq.node.sampler import OFTEN, SELDOM, SHARE, TROUBLE, YOUNG, Process, Root, Sampler, Use, look

MIB = 1 << 20
DEADLINE = 20.0

# A keeper leads a session of its own and takes in orphans; what it starts says so when it is as the test wants it.
KEEPER = """
import ctypes, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
subprocess.Popen([sys.executable, "-c", sys.argv[1]], process_group=0).wait()
"""
HOLDS = """
import os, signal, time
def wait():
    os.write(1, b"ready\\n")
    signal.pause()
def busy():
    begin = time.process_time()
    while time.process_time() < begin + 0.3:
        pass
print(os.getpid(), flush=True)
data = bytearray(b"x") * ({mib} << 20)
"""
MANY = """
for _ in range(3):
    if not os.fork():
        more = bytearray(b"x") * (30 << 20)
        wait()
wait()
"""
COPIES = """
for _ in range(3):
    if not os.fork():
        data[::4096] = bytes(len(data) // 4096)
        wait()
wait()
"""
BUSY = """
if not os.fork():
    busy()
    os._exit(0)
os.wait()
busy()
wait()
"""
WRITES = """
def write(mib):
    with open(str(os.getpid()), "wb") as file:
        file.write(bytes(mib << 20))
if not os.fork():
    write(8)
    os._exit(0)
os.wait()
if not os.fork():
    write(4)
    wait()
wait()
"""
HAD = """
more = bytearray(b"x") * (100 << 20)
del more
wait()
"""
DAEMON = """
if not os.fork():
    os.setsid()
    if not os.fork():
        more = bytearray(b"x") * (80 << 20)
        wait()
    os._exit(0)
os.wait()
wait()
"""


class Tree:
    """A keeper and a command."""

    def __init__(self, program: str, mib: int, folder: Path | None = None) -> None:
        words = [sys.executable, "-c", KEEPER, HOLDS.replace("{mib}", str(mib)) + program]
        self.keeper = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=folder)

    def grow(self, count: int) -> None:
        """Wait for the command, and until so many processes of it are ready."""
        assert self.keeper.stdout is not None
        pid = int(self.keeper.stdout.readline())
        start = sampler.processes()[pid].start
        self.root = Root(pid, (start, start))
        for _ in range(count):
            assert self.keeper.stdout.readline() == "ready\n"

    def end(self) -> None:
        session = [process.pid for process in sampler.processes().values() if process.session == self.keeper.pid]
        for pid in {*session, *descendants(self.keeper.pid)}:
            os.kill(pid, signal.SIGKILL)
        self.keeper.communicate()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def trees() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def grown(trees: ExitStack, program: str, mib: int = 1, count: int = 1, folder: Path | None = None) -> Tree:
    tree = Tree(program, mib, folder)
    trees.callback(tree.end)
    tree.grow(count)
    return tree


def use(tree: Tree, peak: int = 0) -> Use:
    return look({"1.1": (tree.root, peak)})["1.1"]


def test_a_tree_is_weighed_as_a_whole_and_what_it_shares_once(trees: ExitStack) -> None:
    tree = grown(trees, MANY, mib=100, count=4)

    assert 190 * MIB < use(tree).memory < 260 * MIB


def test_copies_that_were_written_to_count_each(trees: ExitStack) -> None:
    tree = grown(trees, COPIES, mib=50, count=4)
    born = max(process.start for process in sampler.processes().values() if process.session == tree.keeper.pid)
    until(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) > born / os.sysconf("SC_CLK_TCK") + 1.1)

    assert 200 * MIB < use(tree).memory < 260 * MIB


def test_a_child_that_only_borrows_its_parent_s_memory_is_told_by_its_age_and_sizes() -> None:
    parent = Process(name="x", pid=2, parent=1, session=1, cpu=0, start=0, size=900, memory=640)
    now = 1_000 * os.sysconf("SC_CLK_TCK")
    child = parent._replace(pid=3, parent=2, start=now - 1, memory=641)

    assert child.borrows(parent, now)
    assert not child._replace(size=901).borrows(parent, now)
    assert not child._replace(memory=700).borrows(parent, now)
    assert not child._replace(start=0).borrows(parent, now)
    assert not child.borrows(None, now)


def test_shared_pages_are_not_asked_for_where_it_would_change_nothing(
    trees: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, one = grown(trees, MANY, mib=50, count=4), grown(trees, "wait()", mib=50)
    asked: list[object] = []
    monkeypatch.setattr(sampler, "_share", asked.append)

    assert use(one).memory > 50 * MIB
    assert use(many, peak=1 << 40).memory > 50 * MIB
    assert asked == []


def test_processor_time_counts_those_that_are_gone(trees: ExitStack) -> None:
    assert use(grown(trees, BUSY)).cpu > 0.55


def test_what_was_written_counts_those_that_are_gone(trees: ExitStack, tmp_path: Path) -> None:
    found = use(grown(trees, WRITES, count=2, folder=tmp_path))

    assert 12 * MIB <= found.written_bytes < 13 * MIB
    assert found.read_bytes < 12 * MIB


def test_of_a_container_the_most_that_a_process_had_is_asked_for(trees: ExitStack) -> None:
    tree = grown(trees, HAD)
    assert use(tree).memory < 100 * MIB
    tree.root = tree.root._replace(kept=False)

    assert 100 * MIB < use(tree).memory < 130 * MIB


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look as somebody else")
def test_what_another_user_did_on_disks_is_not_to_be_seen_and_the_rest_is(trees: ExitStack, tmp_path: Path) -> None:
    tree = grown(trees, WRITES, mib=50, count=2, folder=tmp_path)
    out, into = os.pipe()
    if not os.fork():
        os.setresuid(65534, 65534, 65534)
        found = use(tree)
        os.write(into, b"%d %d" % (found.memory, found.written_bytes))
        os._exit(0)
    os.close(into)
    os.wait()
    memory, written = map(int, os.read(out, 100).split())
    os.close(out)

    assert memory > 50 * MIB
    assert written == 0


def test_who_left_its_parent_and_its_session_still_counts(trees: ExitStack) -> None:
    assert use(grown(trees, DAEMON, count=2)).memory > 80 * MIB


def test_a_number_that_another_process_has_now_is_left_out(trees: ExitStack) -> None:
    pid, (start, _), _ = grown(trees, "wait()").root

    assert look({"1.1": (Root(pid, (start + 1, start + 2)), 0)}) == {}
    assert look({"1.1": (Root(1 << 30, (start, start)), 0)}) == {}


def test_without_its_keeper_an_attempt_is_left_out_and_not_all_the_machine_taken_for_it(trees: ExitStack) -> None:
    tree = grown(trees, "wait()")
    tree.keeper.kill()
    tree.keeper.wait()

    assert look({"1.1": (tree.root, 0)}) == {}


# When


class Hands:
    """A crew whose only thread is the test."""

    def __init__(self) -> None:
        self.given: list[tuple[Callable[[], object], Callable[[object], None]]] = []

    def do(self, kind: str, work: Callable[[], object], then: Callable[[object], None]) -> None:
        assert kind == "sampling"
        self.given.append((work, then))

    def answer(self, result: object) -> None:
        ((_, then),) = self.given
        self.given.clear()
        then(result)


ROOT = Root(1 << 30, (0, 0))


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def one(hands: Hands) -> Sampler:
    return Sampler(hands)  # type: ignore[arg-type]


def test_nothing_is_due_while_nothing_runs(one: Sampler) -> None:
    assert one.due == math.inf
    one.begin("1.1", ROOT, 100.0)
    assert one.due == 100.0 + OFTEN
    one.begin("2.1", ROOT, 100.5)
    assert one.due == 100.0 + OFTEN
    one.end("1.1")
    one.end("2.1")
    assert one.due == math.inf


def test_an_attempt_is_looked_at_every_second_for_a_minute_and_seldom_then(one: Sampler, hands: Hands) -> None:
    begin = time.monotonic() + 1_000.0
    one.begin("1.1", ROOT, begin)
    looks = []
    while one.due < begin + YOUNG + 3.5 * SELDOM:
        looks.append(now := one.due)
        one.tick(now - 0.001)
        assert not hands.given
        one.tick(now)
        assert one.due == math.inf  # not before it has answered
        hands.answer(({}, 0.0))

    young = [now for now in looks if now < begin + YOUNG + OFTEN / 2]
    assert [round(now - begin) for now in young] == list(range(1, 61))
    assert [round(now - young[-1]) for now in looks[len(young) :]] == [10, 20, 30]


def test_one_look_serves_all_that_are_near_their_time(one: Sampler, hands: Hands) -> None:
    begin = time.monotonic() + 1_000.0
    for number in range(8):
        one.begin(f"{number}.1", ROOT, begin + number / 20)
    one.tick(begin + OFTEN)
    assert len(hands.given) == 1
    hands.answer(({}, 0.0))
    assert one.due == begin + 2 * OFTEN


def test_what_ends_before_its_time_costs_no_look(one: Sampler, hands: Hands) -> None:
    one.begin("1.1", ROOT, 100.0)
    one.begin("2.1", ROOT, 100.9)
    one.end("1.1")
    one.tick(101.0)
    assert not hands.given
    assert one.due == 101.9


def test_looks_that_take_long_become_rare(one: Sampler, hands: Hands) -> None:
    one.begin("1.1", ROOT, time.monotonic())
    one.tick(one.due)
    hands.answer(({}, 0.5))
    rested = time.monotonic() + 0.5 / SHARE
    assert rested - 1.0 < one.due <= rested
    one.begin("2.1", ROOT, time.monotonic())
    assert rested - 1.0 < one.due <= rested


def test_a_look_that_fails_is_said_and_tried_again_later(
    one: Sampler, hands: Hands, capsys: pytest.CaptureFixture[str]
) -> None:
    one.begin("1.1", ROOT, time.monotonic())
    one.tick(one.due)
    hands.answer(OSError(24, "Too many open files"))
    assert "Too many open files" in capsys.readouterr().err
    assert one.due > time.monotonic() + TROUBLE - 1.0


def test_the_most_that_was_seen_is_told_at_the_end_and_what_comes_later_is_dropped(
    one: Sampler, hands: Hands
) -> None:
    one.begin("1.1", ROOT, 100.0)
    one.begin("2.1", ROOT, 100.0)
    for seen in (Use(50, 1.0), Use(20, 2.0)):
        one.tick(one.due)
        hands.answer(({"1.1": seen}, 0.0))
    one.tick(one.due)
    assert one.end("1.1") == Use(50, 2.0)
    hands.answer(({"1.1": Use(90, 9.0), "2.1": Use(1, 1.0)}, 0.0))
    assert one.end("1.1") == Use()
    assert one.end("2.1") == Use(1, 1.0)
    assert one.due == math.inf


def test_a_real_crew_looks_at_real_processes(trees: ExitStack) -> None:
    crew = Crew()
    one = Sampler(crew)
    tree = grown(trees, MANY, mib=20, count=4)
    one.begin("1.1", tree.root, 0.0)
    one.tick(one.due)
    assert select.select([crew], [], [], DEADLINE)[0]
    crew.finish()
    assert crew.idle
    assert one.end("1.1").memory > 110 * MIB
