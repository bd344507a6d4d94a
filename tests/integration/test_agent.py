"""A real agent and real keepers, with a broker that follows the test's script."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.broker_script import ScriptedBroker, scripted_broker
from tests.integration.worker import Worker, worker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ScriptedBroker]:
    with scripted_broker(tmp_path) as broker:
        yield broker


@pytest.fixture
def agent(broker: ScriptedBroker, tmp_path: Path) -> Iterator[Worker]:
    with worker(broker.address, tmp_path / "scratch", name="w1") as agent:
        broker.joined()
        yield agent
    assert "fault of scitq" not in agent.said()


def test_a_command_runs_and_its_output_travels_with_its_end(broker: ScriptedBroker, agent: Worker) -> None:
    ref = broker.run(1, "sh", "-c", "echo hello; echo oops >&2")

    end = broker.end_of(ref)

    assert (end.outcome.status, end.outcome.class_, end.outcome.exit_code) == ("succeeded", "", 0)
    assert (end.stdout, end.stderr) == (b"hello\n", b"oops\n")
    assert end.outcome.stdout.total == 6
    assert broker.chunks == []
