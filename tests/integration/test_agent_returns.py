"""Agents that die and brokers that vanish: nothing is lost, nothing is repeated."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from scitq import wire
from tests.integration.broker_script import ScriptedBroker
from tests.integration.worker import Worker, worker


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A pipe that a task reads: it goes on when the test writes."""
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


def held(broker: ScriptedBroker, hello: int) -> dict[wire.Ref, str]:
    """What the worker listed in its n-th hello."""
    broker.until(lambda: len(broker.hellos) > hello, f"hello {hello}")
    enrolment = broker.hellos[hello].enrol
    assert enrolment is not None
    return {one.ref: one.phase for one in enrolment.held}


def waits(gate: Path, *, times: Path) -> str:
    """A command that counts its starts and ends when the gate opens."""
    return f"echo started >> {times}; read line < {gate}; echo $line"


def test_a_running_task_survives_its_agent(broker: ScriptedBroker, agent: Worker, gate: Path, tmp_path: Path) -> None:
    ref = broker.run(1, "sh", "-c", waits(gate, times=tmp_path / "times"))
    broker.running(ref)
    worker_id = broker.joined().worker

    agent.kill()
    agent.start()

    assert held(broker, 1) == {ref: "running"}
    assert broker.joined().worker == worker_id
    gate.write_text("done\n")
    end = broker.end_of(ref)
    assert (end.outcome.status, end.stdout or broker.text(ref)) == ("succeeded", b"done\n")
    assert (tmp_path / "times").read_text() == "started\n"


def test_a_task_that_ends_without_agent_is_told_by_the_next(
    broker: ScriptedBroker, agent: Worker, gate: Path, tmp_path: Path
) -> None:
    ref = broker.run(1, "sh", "-c", waits(gate, times=tmp_path / "times"))
    broker.running(ref)

    agent.kill()
    gate.write_text("alone\n")
    agent.start()

    assert set(held(broker, 1)) == {ref}
    end = broker.end_of(ref)
    assert (end.outcome.status, end.stdout or broker.text(ref)) == ("succeeded", b"alone\n")
    assert (tmp_path / "times").read_text() == "started\n"


def test_an_end_nobody_acknowledged_is_told_again(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    broker.acknowledges = False
    refs = [
        broker.run(1, "echo", "one"),
        broker.run(2, "true", inputs=(f"{tmp_path}/missing",)),
        broker.run(3, "sh", "-c", "head -c 200000 /dev/zero"),
    ]
    before = [broker.end_of(ref) for ref in refs]
    agent.kill()
    broker.ends.clear()
    broker.chunks.clear()
    broker.acknowledges = True
    agent.start()

    assert held(broker, 1) == dict.fromkeys(refs, "ended")
    after = [broker.end_of(ref) for ref in refs]
    assert after == before
    assert sum(len(chunk.data) for chunk in broker.chunks) == 200_000
    broker.until(lambda: not list((tmp_path / "scratch/outbox").iterdir()), "an empty outbox")
    agent.kill(signal.SIGTERM)
    agent.start()
    assert held(broker, 2) == {}


def test_a_slow_acknowledgement_brings_no_second_run(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    broker.acknowledges = False
    ref = broker.run(1, "sh", "-c", f"echo started >> {tmp_path}/times")
    broker.end_of(ref)
    broker.vanish()
    broker.come_back()
    broker.ends.clear()

    assert held(broker, 1) == {ref: "ended"}
    broker.end_of(ref)
    assert (tmp_path / "times").read_text() == "started\n"


def test_results_are_stored_by_the_next_agent(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    ref = broker.run(1, "sh", "-c", "echo x > $OUTPUT/x", output=f"{tmp_path}/results")
    broker.until(lambda: broker.confirm == [ref], "confirm")
    agent.kill()
    agent.start()

    assert held(broker, 1) == {ref: "uploading"}
    broker.until(lambda: broker.confirm == [ref, ref], "confirm again")
    broker.send(wire.Confirmed(tasks=(ref,)))
    assert broker.end_of(ref).outcome.stored == (("x", 2),)


def test_what_runs_goes_on_while_the_broker_is_away(
    broker: ScriptedBroker, agent: Worker, gate: Path, tmp_path: Path
) -> None:
    ref = broker.run(1, "sh", "-c", waits(gate, times=tmp_path / "times"))
    broker.running(ref)
    broker.vanish()
    gate.write_text("away\n")
    broker.come_back()

    assert set(held(broker, 1)) == {ref}
    end = broker.end_of(ref)
    assert (end.outcome.status, end.stdout or broker.text(ref)) == ("succeeded", b"away\n")


def test_output_in_flight_is_sent_again_to_a_broker_that_came_back(broker: ScriptedBroker, agent: Worker) -> None:
    broker.acknowledges = False
    ref = broker.run(1, "sh", "-c", "head -c 3000000 /dev/zero", log_limit=None)
    broker.until(lambda: len(broker.text(ref)) >= 1024 * 1024, "a credit full")
    broker.vanish()
    broker.streams.clear()
    broker.acknowledges = True
    broker.come_back()

    assert broker.end_of(ref).outcome.stdout.total == 3_000_000
    assert len(broker.text(ref)) == 3_000_000


def test_an_attempt_to_be_stopped_ends_without_a_word(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    ref = broker.run(1, "sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    broker.running(ref)
    pid = broker.written(tmp_path / "pid")
    broker.verdicts[ref] = "stop"
    broker.vanish()
    broker.come_back()

    assert held(broker, 1) == {ref: "running"}
    broker.until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the command")
    assert broker.end_of(broker.run(2, "true")).outcome.status == "succeeded"
    assert not [end for end in broker.ends if end.ref == ref]
    broker.until(lambda: not (tmp_path / "scratch/tasks/1.1").exists(), "its folder is removed")


def test_an_end_to_be_forgotten_is_not_told_again(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    broker.acknowledges = False
    ref = broker.run(1, "sh", "-c", "head -c 200000 /dev/zero")
    broker.end_of(ref)
    broker.verdicts[ref] = "forget"
    broker.vanish()
    broker.ends.clear()
    broker.come_back()

    assert held(broker, 1) == {ref: "ended"}
    assert broker.end_of(broker.run(2, "true")).outcome.status == "succeeded"
    assert not [end for end in broker.ends if end.ref == ref]
    broker.until(lambda: not (tmp_path / "scratch/outbox/1.1.out").exists(), "its output is removed")


def test_nothing_more_starts_after_the_grace(broker: ScriptedBroker, tmp_path: Path, gate: Path) -> None:
    broker.concurrency = 1
    with worker(broker.address, tmp_path / "scratch", grace=0.2) as agent:
        broker.joined()
        first = broker.run(1, "sh", "-c", waits(gate, times=tmp_path / "times"))
        second = broker.run(2, "sh", "-c", f"echo second >> {tmp_path}/times")
        broker.running(first)
        broker.vanish()
        broker.until(lambda: "nothing more is started" in agent.said(), "the end of the grace")
        records = tmp_path / "scratch/keepers"
        before = sum(path.stat().st_size for path in records.iterdir() if path.is_file())
        gate.write_text("go\n")
        broker.until(
            lambda: sum(path.stat().st_size for path in records.iterdir() if path.is_file()) > before,
            "the record of the first task's end",
        )
        broker.come_back()

        assert held(broker, 1) == {first: "ended", second: "staged"}
        assert (tmp_path / "times").read_text() == "started\n"
        assert broker.end_of(second).outcome.status == "succeeded"


def test_another_mesh_hears_nothing_of_the_first(
    broker: ScriptedBroker, agent: Worker, gate: Path, tmp_path: Path
) -> None:
    ref = broker.run(1, "sh", "-c", waits(gate, times=tmp_path / "times"))
    broker.running(ref)
    first_mesh = broker.mesh

    broker.mesh = "00000000-0000-4000-8000-000000000002"
    broker.vanish()
    broker.come_back()
    broker.until(lambda: len(broker.hellos) > 1, "hello to the other mesh")
    same_name = broker.run(1, "echo", "other")
    assert broker.end_of(same_name).stdout == b"other\n"
    gate.write_text("first\n")
    broker.ends.clear()

    broker.mesh = first_mesh
    broker.vanish()
    broker.come_back()
    end = broker.end_of(ref)
    assert (end.stdout or broker.text(ref)) == b"first\n"


def test_a_lost_keeper_is_said(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    ref = broker.run(1, "sh", "-c", f"echo $PPID > {tmp_path}/keeper; sleep 600")
    broker.running(ref)
    keeper = broker.written(tmp_path / "keeper")

    os.kill(int(keeper), 9)

    end = broker.end_of(ref)
    assert (end.outcome.status, end.outcome.class_) == ("failed", "lost")


def test_a_scratch_that_lost_its_file_is_a_new_worker(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    first = broker.joined().worker
    agent.kill()
    shutil.rmtree(tmp_path / "scratch")
    agent.start()
    broker.until(lambda: len(broker.hellos) > 1, "hello")

    assert broker.joined().worker != first


def test_what_a_keeper_gives_back_starts_later_with_all_it_needs(
    broker: ScriptedBroker, agent: Worker, gate: Path, tmp_path: Path
) -> None:
    """Short tasks make the agent queue ahead; a long one then blocks the queue while the connection is made anew."""
    (tmp_path / "data").write_text("here")
    broker.send(wire.Settings(concurrency=1, prefetch=0))
    for number in range(1, 4):
        broker.end_of(broker.run(number, "true"))
    long = broker.run(4, "sh", "-c", waits(gate, times=tmp_path / "times"))
    broker.running(long)
    plain, staged = broker.run(5, "pwd"), broker.run(6, "cat", "../input/data", inputs=(f"{tmp_path}/data",))
    data = tmp_path / "scratch/tasks/6.1/input/data"
    broker.until(data.exists, "the order of the last task")

    broker.concurrency = 1
    broker.vanish()
    broker.come_back()

    assert held(broker, 1) == {long: "running", plain: "staged", staged: "staged"}
    gate.write_text("go\n")
    assert broker.end_of(plain).outcome.status == "succeeded"
    assert broker.end_of(staged).stdout == b"here"


def test_what_a_lost_attempt_used_is_known_as_far_as_it_was_seen(
    broker: ScriptedBroker, agent: Worker, gate: Path, tmp_path: Path
) -> None:
    """By an agent that found it running; its keeper is killed before it could tell anything."""
    holds = "import time; data = bytearray(b'x') * (40 << 20); time.sleep(600)"
    waits = f"echo $PPID > {tmp_path}/keeper; read line < {gate}; sleep 4; echo seen > {tmp_path}/seen; wait"
    ref = broker.run(1, "sh", "-c", f'{sys.executable} -c "{holds}" & {waits}')
    keeper = int(broker.written(tmp_path / "keeper"))
    agent.kill()
    agent.start()
    assert held(broker, 1) == {ref: "running"}
    gate.write_text("go on\n")
    broker.written(tmp_path / "seen")

    os.kill(keeper, signal.SIGKILL)

    end = broker.end_of(ref)
    assert end.outcome.class_ == "lost"
    assert end.outcome.peak_memory > 40 << 20
