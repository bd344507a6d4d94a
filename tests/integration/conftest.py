"""A scripted broker and a real agent that has joined it."""

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
