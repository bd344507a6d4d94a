"""What remains true when the agent, a keeper or both die."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.node import line
from scitq.node.keeper import VERSION
from scitq.node.orders import Ended, Lost, Refused, Returned, Started
from tests.integration.keeping import Agent, alive, end_keepers, keeper_pid, until


@pytest.fixture(autouse=True)
def no_keeper_stays(tmp_path: Path) -> Iterator[None]:
    yield
    end_keepers(tmp_path)


AGENT = """
import sys, select
from pathlib import Path
from tests.integration.keeping import Agent
agent = Agent(Path(sys.argv[1]), limit=2)
{orders}
agent.pool.flush()
{waits}
print("ready", flush=True)
while True:
    select.select([agent.pool], [], [])
    agent.pool.events()
"""


def killed_agent(scratch: Path, orders: str, waits: str = "") -> None:
    """An agent of its own process gives the orders and is killed the hard way."""
    with subprocess.Popen(
        [sys.executable, "-c", AGENT.format(orders=orders, waits=waits), str(scratch)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()


def gone(scratch: Path) -> None:
    """All keepers have left, and nothing of theirs but the log, in which nothing stands."""
    until(lambda: [path.name for path in (scratch / "keepers").iterdir()] == ["log"])
    assert (scratch / "keepers" / "log").read_text() == ""


def test_an_agent_killed_loses_nothing(tmp_path: Path) -> None:
    killed_agent(
        tmp_path,
        orders="""
agent.shell("1.1", "echo run >> runs; until [ -e go ]; do sleep 0.02; done; echo late; exit 3", spec=b"one")
agent.shell("2.1", "echo run >> runs; echo early; exit 4", spec=b"two")
agent.shell("3.1", "until [ -e go ]; do sleep 0.02; done", spec=b"three")
""",
        waits="""
agent.end("2.1"); agent.started("3.1"); agent.started("1.1")
agent.shell("4.1", "echo run >> runs; echo queued", spec=b"four")
""",
    )
    agent = Agent(tmp_path, limit=2)
    held = {one.name: one for one in agent.held}
    assert {name: (one.state, one.spec) for name, one in held.items()} == {
        "1.1": ("running", b"one"),
        "2.1": ("ended", b"two"),
        "3.1": ("running", b"three"),
        "4.1": ("queued", b"four"),
    }
    early = held["2.1"].end
    assert isinstance(early, Ended)
    assert (early.code, early.out.inline) == (4, b"early\n")
    started = held["1.1"].started
    assert started is not None
    assert alive(started.pid)
    agent.pool.acknowledge("2.1")
    (tmp_path / "go").touch()
    assert agent.end("1.1").code == 3
    assert agent.output(agent.end("1.1")) == b"late\n"
    assert agent.output(agent.end("4.1")) == b"queued\n"
    agent.end("3.1")
    assert (tmp_path / "runs").read_text() == "run\n" * 3
    for name in ("1.1", "3.1", "4.1"):
        agent.pool.acknowledge(name)
    agent.pool.close()
    gone(tmp_path)


def test_what_is_not_acknowledged_is_told_again_to_the_next_agent(tmp_path: Path) -> None:
    killed_agent(tmp_path, 'agent.run("1.1", "true")', 'agent.end("1.1")')
    for _ in range(2):
        agent = Agent(tmp_path)
        assert [(one.name, one.state) for one in agent.held] == [("1.1", "ended")]
        agent.pool.close()
    agent = Agent(tmp_path)
    agent.pool.acknowledge("1.1")
    agent.pool.close()
    gone(tmp_path)
    assert Agent(tmp_path).held == []


def test_a_newer_agent_replaces_the_older(tmp_path: Path) -> None:
    older = Agent(tmp_path)
    older.shell("1.1", "until [ -e go ]; do sleep 0.02; done")
    older.started("1.1")
    newer = Agent(tmp_path)
    assert [one.state for one in newer.held] == ["running"]
    (tmp_path / "go").touch()
    assert newer.end("1.1").code == 0
    newer.pool.acknowledge("1.1")
    newer.pool.close()
    gone(tmp_path)
    older.pool.close()


def test_a_keeper_killed_makes_its_attempt_lost_and_leaves_nothing(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.shell("1.1", "echo $$; sleep 60 & echo $!; setsid sleep 60 & echo $!; (env -i sleep 60 & echo $!); wait")
    agent.run("2.1", "true")
    main = agent.started("1.1").pid
    path = tmp_path / "outbox" / "1.1.out"
    until(lambda: path.exists() and len(path.read_bytes().split()) == 4)
    left = [int(pid) for pid in path.read_bytes().split()]
    os.kill(keeper_pid(main), signal.SIGKILL)
    assert agent.wait(Lost, "1.1").remains == ""
    agent.wait(Returned, "2.1")
    assert not any(map(alive, left))
    agent.run("2.1", "true")  # with another keeper, while the dead one's files wait
    assert agent.end("2.1").code == 0
    agent.pool.acknowledge("1.1")
    agent.pool.acknowledge("2.1")
    agent.pool.close()
    gone(tmp_path)


def test_keeper_and_agent_killed(tmp_path: Path) -> None:
    killed_agent(
        tmp_path,
        'agent.pool.limit = 1; agent.run("1.1", "true", spec=b"one"); agent.run("2.1", "sleep", "60", spec=b"two")',
        'agent.end("1.1"); pid = agent.started("2.1").pid; Path(sys.argv[1], "pid").write_text(str(pid))',
    )
    main = int((tmp_path / "pid").read_text())
    os.kill(keeper_pid(main), signal.SIGKILL)
    for _ in range(2):  # told until acknowledged
        agent = Agent(tmp_path)
        held = {one.name: (one.state, one.spec, type(one.end)) for one in agent.held}
        assert held == {"1.1": ("ended", b"one", Ended), "2.1": ("lost", b"two", Lost)}
        assert not alive(main)
        agent.pool.close()
    agent = Agent(tmp_path)
    agent.pool.acknowledge("1.1")
    agent.pool.acknowledge("2.1")
    gone(tmp_path)
    agent.pool.close()


def test_records_of_another_boot_are_lost_and_kill_nobody(tmp_path: Path) -> None:
    from scitq.node.records import RecordFile

    innocent = subprocess.Popen(["sleep", "60"], env={"SCITQ_ATTEMPT": "mesh/1.1"})
    (tmp_path / "keepers").mkdir()
    records = RecordFile(str(tmp_path / "keepers" / "3.records"))
    records.append(["begin", "1.1", b"mesh/1.1", "another boot", 1, 1.5, b"spec"])
    records.append(["start", "1.1", innocent.pid, 0, 1 << 60, 1.5])
    with (tmp_path / "keepers" / "3.records").open("ab") as file:
        file.write(b"\x07torn")
    agent = Agent(tmp_path)
    assert [(one.name, one.end) for one in agent.held] == [("1.1", Lost("1.1", 1.5, ""))]
    assert innocent.poll() is None
    innocent.kill()
    innocent.wait()
    agent.pool.acknowledge("1.1")
    assert not list((tmp_path / "keepers").iterdir())
    agent.pool.close()


def test_a_long_scratch_path_is_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120) / ("y" * 120)
    agent = Agent(deep)
    agent.run("1.1", "true")
    assert agent.end("1.1").code == 0
    agent.pool.acknowledge("1.1")
    agent.pool.close()
    gone(deep)


def test_an_agent_that_does_not_read_stops_no_task(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.shell("1.1", "seq 1 4000000; touch done", head=1000, tail=1000)
    agent.pool.flush()
    until((tmp_path / "done").exists)
    assert agent.end("1.1").out.total == 30888896
    agent.pool.acknowledge("1.1")
    agent.pool.close()
    gone(tmp_path)


def test_a_disk_that_refuses_records_delays_the_end_and_starts_nothing(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.shell("1.1", "until [ -e go ]; do sleep 0.02; done; exit 3")
    main = agent.started("1.1").pid
    keeper = keeper_pid(main)
    _, hard = resource.prlimit(keeper, resource.RLIMIT_FSIZE)
    size = (tmp_path / "keepers" / "0.records").stat().st_size
    resource.prlimit(keeper, resource.RLIMIT_FSIZE, (size + 1, hard))
    (tmp_path / "go").touch()
    until(lambda: not Path(f"/proc/{main}").exists())
    newer = Agent(tmp_path)
    assert [(one.name, one.state) for one in newer.held] == [("1.1", "running")]
    resource.prlimit(keeper, resource.RLIMIT_FSIZE, (hard, hard))
    assert newer.end("1.1").code == 3
    resource.prlimit(keeper, resource.RLIMIT_FSIZE, (0, hard))
    newer.run("2.1", "touch", "ran")
    assert "cannot be recorded" in newer.wait(Refused, "2.1").reason
    assert not (tmp_path / "ran").exists()
    newer.pool.acknowledge("1.1")
    newer.pool.close()
    agent.pool.close()


def test_a_folder_removed_under_the_keeper_ends_clearly(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.shell("1.1", "sleep 0.3; seq 1 100000")
    agent.started("1.1")
    shutil.rmtree(tmp_path / "outbox")
    end = agent.end("1.1")
    assert end.code == 0
    assert end.out.note.startswith("kept to byte 0 only: No such file")
    assert isinstance(agent.seen[0], Started)
    agent.pool.acknowledge("1.1")
    agent.pool.close()
    gone(tmp_path)


def test_a_keeper_of_another_release_ends_what_it_has_and_is_given_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Agent(tmp_path)
    before.shell("1.1", "until [ -e go ]; do sleep 0.02; done; echo old")
    started = before.started("1.1")
    before.pool.close()
    monkeypatch.setattr(line, "VERSION", VERSION + 1)

    after = Agent(tmp_path)
    after.shell("2.1", "echo new")
    assert after.output(after.end("2.1")) == b"new\n"
    assert alive(started.pid), "it ran in a second keeper, though one is the limit"
    (tmp_path / "go").touch()
    assert after.output(after.end("1.1")) == b"old\n"
    for name in ("1.1", "2.1"):
        after.pool.acknowledge(name)
    after.pool.close()

    gone(tmp_path)


def test_a_keeper_whose_folder_was_removed_does_not_keep_for_nobody(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    agent = Agent(scratch)
    agent.shell("1.1", "sleep 0.1")
    keeper = keeper_pid(agent.started("1.1").pid)
    agent.end("1.1")
    agent.pool.close()
    assert alive(keeper), "what is not acknowledged is kept"

    shutil.rmtree(scratch)

    until(lambda: not alive(keeper))
