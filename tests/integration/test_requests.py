"""What tasks without a container ask for beside a slot: a real agent, real keepers, the kernel's real limits."""

import os
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq import wire
from scitq.node.cgroups import UNIFIED, read, seen_above
from scitq.node.limits import places
from scitq.node.probe import probe
from tests.integration.broker_script import ScriptedBroker
from tests.integration.keeping import keeper_pid
from tests.integration.worker import Worker, worker

MIB = 1 << 20
MACHINE = probe()
HOG = "import sys; data = b'x' * (200 << 20); print(len(data), flush=True); sys.stdin.read()"
WHERE = "cat /proc/self/cgroup"
HELD = "until [ -e {}/go ]; do sleep 0.02; done"

limited = pytest.mark.skipif(len(places()) < 2, reason="no cgroup can be made here")


@pytest.fixture
def go(tmp_path: Path) -> Iterator[Path]:
    """Lets go whoever is HELD."""
    yield tmp_path / "go"
    (tmp_path / "go").touch()


def mine(agent: Worker) -> set[str]:
    """All cgroups of attempts of this worker that there are."""
    known = tomllib.loads((agent.scratch / "worker.toml").read_text())["id"]
    return {
        f"{place.folder}/{name}"
        for place in places().values()
        for name in os.listdir(place.folder)
        if name.startswith(f"scitq-{known}-")
    }


@limited
def test_who_takes_more_memory_than_it_asked_for_ends_for_that(broker: ScriptedBroker, agent: Worker) -> None:
    end = broker.end_of(broker.run(1, "python3", "-c", HOG, mem=64 * MIB))

    assert (end.outcome.status, end.outcome.class_, end.outcome.signal) == ("failed", "oom", signal.SIGKILL)
    assert end.outcome.reason == "used its 64 MiB (--mem)"
    broker.until(lambda: not mine(agent), "its cgroups are gone")


@limited
def test_so_does_who_outlives_the_part_of_it_that_was_killed(broker: ScriptedBroker, agent: Worker) -> None:
    end = broker.end_of(broker.run(1, "sh", "-c", f'python3 -c "{HOG}"; exit 3', mem=64 * MIB))

    assert (end.outcome.class_, end.outcome.exit_code) == ("oom", 3)
    assert end.outcome.reason == "used its 64 MiB (--mem)"


@limited
def test_who_keeps_to_it_ends_well_and_as_another_user_too(broker: ScriptedBroker, agent: Worker) -> None:
    hog = HOG.replace("200 << 20", "20 << 20").replace("sys.stdin.read()", "pass")
    ends = [
        broker.end_of(broker.run(1, "python3", "-c", hog, mem=64 * MIB)),
        broker.end_of(broker.run(2, "python3", "-c", hog, mem=64 * MIB, uid=65534)),
    ]

    assert [end.outcome.status for end in ends] == ["succeeded", "succeeded"]


@limited
def test_all_that_a_task_starts_shares_the_cpus_that_it_asked_for(broker: ScriptedBroker, agent: Worker) -> None:
    burn = "timeout 1.5 sh -c 'while :; do :; done' & "
    end = broker.end_of(broker.run(1, "sh", "-c", f"{burn * 4} wait", cpu=1))

    assert end.outcome.cpu_seconds < 1.4 * end.outcome.run_seconds, end.outcome


@limited
def test_it_and_its_children_are_inside_and_neither_its_keeper_nor_the_next_task(
    broker: ScriptedBroker, agent: Worker, tmp_path: Path, go: Path
) -> None:
    script = f"({WHERE}) > {tmp_path}/seen; echo $$ > {tmp_path}/pid; {HELD.format(tmp_path)}"
    broker.run(1, "sh", "-c", script, cpu=0.5, mem=64 * MIB)
    pid = broker.written(tmp_path / "pid")
    inside = mine(agent)
    home = {place.hierarchy: read(f"/proc/{agent.process.pid}/cgroup") for place in places().values()}  # type: ignore[union-attr]

    lines = (tmp_path / "seen").read_text()
    assert inside
    for folder in inside:
        assert os.path.basename(folder) in lines
        assert pid in read(f"{folder}/cgroup.procs").split()
    assert read(f"/proc/{keeper_pid(int(pid))}/cgroup") in home.values()
    if ("cpu", "cpu") in {(name, place.hierarchy) for name, place in places().items()}:
        assert {read(f"{one}/cpu.cfs_quota_us") for one in inside} == {"50000", ""}
    go.touch()
    broker.until(lambda: broker.ends, "the end")
    end = broker.end_of(broker.run(2, "sh", "-c", WHERE))
    assert end.stdout.decode().strip() in home.values()


def test_a_task_is_told_what_it_has(broker: ScriptedBroker, agent: Worker) -> None:
    tell = ("sh", "-c", "echo $CPU $MEM")

    plain = broker.end_of(broker.run(1, *tell))
    asked = broker.end_of(broker.run(2, *tell, cpu=1.5, mem=100 * MIB))

    assert plain.stdout.split() == [b"%d" % max(1, MACHINE.cpus // 2), b"%d" % (MACHINE.memory // 2)]
    assert asked.stdout.split() == [b"1", b"%d" % (100 * MIB)]


def test_who_asks_waits_for_it_and_keeps_those_after_it_waiting(
    broker: ScriptedBroker, agent: Worker, tmp_path: Path, go: Path
) -> None:
    first = broker.run(1, "sh", "-c", HELD.format(tmp_path))
    broker.running(first)
    large = broker.run(2, "sh", "-c", f"echo large >> {tmp_path}/order", mem=MACHINE.memory, cpu=MACHINE.cpus)
    small = broker.run(3, "sh", "-c", f"echo small >> {tmp_path}/order")
    broker.send(wire.Recall(tasks=(wire.Ref(9, 1, 1),)))
    broker.until(lambda: broker.kept, "all was heard")
    assert not [one for one in broker.started if one.ref != first]

    go.touch()
    broker.end_of(small)
    assert (tmp_path / "order").read_text() == "large\nsmall\n"
    assert broker.end_of(large).outcome.status == "succeeded"


def test_what_does_not_fit_an_empty_worker_is_given_up(broker: ScriptedBroker, agent: Worker) -> None:
    end = broker.end_of(broker.run(1, "true", cpu=4_000))

    assert (end.outcome.status, end.outcome.class_) == ("failed", "lost")
    assert "asks for --cpu 4000, and this worker has" in end.outcome.reason
    assert broker.end_of(broker.run(2, "true")).outcome.status == "succeeded"


def test_what_was_given_is_held_when_the_agent_dies(
    broker: ScriptedBroker, agent: Worker, tmp_path: Path, go: Path
) -> None:
    most = MACHINE.memory * 2 // 3
    first = broker.run(1, "sh", "-c", f"{HELD.format(tmp_path)}; sleep 1; touch {tmp_path}/done", mem=most)
    broker.running(first)
    inside = mine(agent)
    agent.kill()
    broker.worker = b""
    agent.start()
    broker.joined()
    assert mine(agent) == inside

    second = broker.run(2, "test", "-e", f"{tmp_path}/done", mem=most)
    third = broker.run(3, "test", "-e", f"{tmp_path}/done")
    go.touch()

    assert [broker.end_of(ref).outcome.status for ref in (first, second, third)] == ["succeeded"] * 3
    broker.until(lambda: not mine(agent), "its cgroups are gone")


@limited
def test_the_limit_holds_when_the_agent_dies(broker: ScriptedBroker, agent: Worker, tmp_path: Path, go: Path) -> None:
    ref = broker.run(1, "sh", "-c", f'{HELD.format(tmp_path)}; exec python3 -c "{HOG}"', mem=64 * MIB)
    broker.running(ref)
    agent.kill()
    go.touch()
    broker.worker = b""
    agent.start()
    broker.joined()

    assert broker.end_of(ref).outcome.reason == "used its 64 MiB (--mem)"


@limited
def test_cgroups_go_with_a_keeper_that_was_killed(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    escape = "env -i /usr/bin/setsid sh -c 'sleep 600 &'"
    ref = broker.run(1, "sh", "-c", f"{escape}; echo $$ > {tmp_path}/pid; exec sleep 600", mem=64 * MIB, cpu=1)
    pid = broker.written(tmp_path / "pid")
    (folder, *_) = mine(agent)
    pids = read(f"{folder}/cgroup.procs").split()
    assert len(pids) == 2
    os.kill(keeper_pid(int(pid)), signal.SIGKILL)

    assert broker.end_of(ref).outcome.class_ == "lost"
    broker.until(lambda: not mine(agent), "its cgroups are gone")
    broker.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "nor anybody inside")


@limited
def test_what_a_dead_agent_left_empty_is_removed(broker: ScriptedBroker, agent: Worker) -> None:
    enrolment = broker.joined()
    place = places()["memory"]
    broker.end_of(broker.run(1, "true"))
    agent.kill()
    left = Path(f"{place.folder}/scitq-{enrolment.worker}-{broker.mesh}-77.1")
    left.mkdir()
    broker.worker = b""
    agent.start()
    broker.joined()

    assert not left.exists()


def test_where_no_cgroup_may_be_made_it_is_watched(broker: ScriptedBroker, tmp_path: Path) -> None:
    with worker(broker.address, tmp_path / "scratch", name="w1", limits=False) as agent:
        broker.joined()
        end = broker.end_of(broker.run(1, "sh", "-c", f'python3 -c "{HOG}" < /dev/zero', mem=64 * MIB))
        good = broker.end_of(broker.run(2, "sleep", "1.5", mem=64 * MIB))

        assert (end.outcome.class_, end.outcome.reason) == ("oom", "used its 64 MiB (--mem)")
        assert good.outcome.status == "succeeded"
        assert "no cgroup can limit memory here" in agent.said()


def test_a_command_that_is_watched_is_watched_by_the_next_agent_too(broker: ScriptedBroker, tmp_path: Path) -> None:
    with worker(broker.address, tmp_path / "scratch", name="w1", limits=False) as agent:
        broker.joined()
        script = f'{HELD.format(tmp_path)}; python3 -c "{HOG}" < /dev/zero'
        ref = broker.run(1, "sh", "-c", script, mem=64 * MIB)
        broker.running(ref)
        agent.kill()
        broker.worker = b""
        agent.start()
        broker.joined()
        (tmp_path / "go").touch()

        assert broker.end_of(ref).outcome.reason == "used its 64 MiB (--mem)"


def test_another_concurrency_counts_at_once(broker: ScriptedBroker, agent: Worker, tmp_path: Path, go: Path) -> None:
    first = broker.run(1, "sh", "-c", HELD.format(tmp_path), mem=MIB * 10)
    broker.running(first)
    broker.send(wire.Settings(concurrency=1, prefetch=1))
    second = broker.run(2, "sh", "-c", "echo $CPU")
    broker.send(wire.Recall(tasks=(wire.Ref(9, 1, 1),)))
    broker.until(lambda: broker.kept, "all was heard")
    assert not [one for one in broker.started if one.ref == second]
    go.touch()

    assert broker.end_of(second).stdout.strip() == b"%d" % MACHINE.cpus


def test_a_worker_says_how_much_room_a_task_could_have(broker: ScriptedBroker, agent: Worker) -> None:
    disk = os.statvfs(agent.scratch)

    assert 0 < broker.joined().disk <= disk.f_blocks * disk.f_frsize


def test_what_is_seen_from_here_is_a_cgroup_of_this_process() -> None:
    for hierarchy in ("memory", "cpu", UNIFIED):
        for folder in seen_above(hierarchy)[:1]:
            assert str(os.getpid()) in read(f"{folder}/cgroup.procs").split() or not os.path.exists(
                f"{folder}/cgroup.procs"
            )
