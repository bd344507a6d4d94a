"""Inputs of a real agent: several at once, ahead of their turn, whole before the start, gone on with after a kill."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.broker_script import ScriptedBroker, scripted_broker
from tests.integration.worker import Worker, worker
from tests.servers.counting_http import CountingServer, counting_http


@pytest.fixture
def source() -> Iterator[CountingServer]:
    with counting_http() as server:
        yield server


def test_several_come_at_once_and_none_is_missed_at_the_start(
    broker: ScriptedBroker, agent: Worker, source: CountingServer
) -> None:
    for name in "abc":
        source.files[f"/{name}"] = name.encode() * 100_000
    source.slow_after = 0

    ref = broker.run(1, "sh", "-c", "cat $INPUT/* | wc -c", inputs=tuple(f"{source.url}/{name}" for name in "abc"))
    broker.until(lambda: source.most_at_once >= 3, "all are asked for")
    assert [one.phase for one in broker.started] == ["staging"]
    source.slow_after = None

    end = broker.end_of(ref)
    assert (end.stdout, end.outcome.bytes_in) == (b"300000\n", 300_000)


def test_the_next_task_is_staged_while_one_runs(tmp_path: Path, source: CountingServer) -> None:
    source.files["/x"] = b"12345"
    go_on = tmp_path / "go_on"
    os.mkfifo(go_on)
    with (
        scripted_broker(tmp_path, concurrency=1) as broker,
        worker(broker.address, tmp_path / "scratch", name="w1", concurrency=1, prefetch=1),
    ):
        broker.joined()
        first = broker.run(1, "cat", str(go_on))
        broker.running(first)
        second = broker.run(2, "sh", "-c", "cat $INPUT/x", inputs=(f"{source.url}/x",))
        broker.until((tmp_path / "scratch/tasks/.staging-2.1/input/x").exists, "it is staged")
        assert not [one for one in broker.started if one.ref == second and one.phase == "running"]
        assert not broker.ends

        go_on.write_text("")

        assert broker.end_of(second).stdout == b"12345"
        assert broker.ends[0].ref == first


def test_after_a_kill_of_the_agent_the_next_attempt_goes_on(
    broker: ScriptedBroker, agent: Worker, source: CountingServer, tmp_path: Path
) -> None:
    size = 4 << 20
    source.files["/whole"] = os.urandom(100_000)
    source.files["/half"] = os.urandom(size)
    source.slow_after = size * 3 // 4
    inputs = (f"{source.url}/whole", f"{source.url}/half")
    broker.run(5, "true", inputs=inputs)
    arriving = tmp_path / "scratch/tasks/.staging-5.1/arriving"
    broker.until(lambda: list(arriving.glob("*/.fetch-*/files/.fetch-*.json")), "what came is noted")
    agent.kill()
    before, source.slow_after = source.sent, None
    agent.start()
    broker.until(lambda: len(broker.hellos) == 2, "the agent is back")

    end = broker.end_of(broker.run(5, "sh", "-c", "cat $INPUT/* | wc -c", attempt=2, inputs=inputs))

    assert end.stdout.split() == [str(size + 100_000).encode()]
    assert source.sent - before < size // 2
    assert source.gets["/whole"] == 1
    assert not (tmp_path / "scratch/tasks/.staging-5.1/arriving").exists()


def test_the_slot_is_free_while_results_are_stored(tmp_path: Path) -> None:
    with (
        scripted_broker(tmp_path, concurrency=1) as broker,
        worker(broker.address, tmp_path / "scratch", name="w1", concurrency=1),
    ):
        broker.joined()
        first = broker.run(1, "sh", "-c", "echo x > $OUTPUT/x", output=f"{tmp_path}/results")
        broker.until(lambda: broker.confirm == [first], "it waits for its upload")

        assert broker.end_of(broker.run(2, "true")).outcome.status == "succeeded"
        assert not [end for end in broker.ends if end.ref == first]
