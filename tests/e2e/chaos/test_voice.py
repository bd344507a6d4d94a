"""What a worker says while it is without its broker: one line when it is away, one when it is back."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.chaos.mesh import Mesh, Peer, mesh
from tests.integration.mesh import BrokerProcess, until

GRACE = 1.0


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Mesh]:
    with mesh(tmp_path / "mesh", "relays", GRACE) as one:
        yield one


def lines(worker: Peer) -> list[str]:
    return [line.removeprefix("scitq node: ") for line in worker.said().splitlines()]


def until_said(worker: Peer, number: int) -> list[str]:
    until(lambda: len(lines(worker)) >= number, f"{number} lines of {worker.name}")
    return lines(worker)


def test_a_revoked_key_is_said_once_and_tried_on_quietly(town: Mesh) -> None:
    worker = town.worker("w1")
    until_said(worker, 1)
    with town.client() as client:
        gate = town.folder / "gate"
        script = f"touch {gate}.begun; until [ -e {gate} ]; do sleep 0.02; done; touch {gate}.over"
        client.submit(["sh", "-c", script])
        until(Path(f"{gate}.begun").exists, "the task has begun")
        client.access_revoke("w1")
    said = until_said(worker, 2)
    assert "does not accept this worker's key any more" in said[1]
    gate.touch()
    until(Path(f"{gate}.over").exists, "what runs goes on")
    assert worker.process is not None
    with pytest.raises(subprocess.TimeoutExpired):
        worker.process.wait(2 * GRACE)
    assert lines(worker) == said


def test_a_broker_that_stands_still_is_not_said_to_be_another(town: Mesh) -> None:
    worker = town.worker("w1", grace=300)
    until_said(worker, 1)
    worker.kill()
    assert town.broker.process is not None
    town.broker.process.send_signal(signal.SIGSTOP)
    worker.start()
    said = until_said(worker, 2)
    assert "says nothing" in said[1]
    town.broker.process.send_signal(signal.SIGCONT)
    until(lambda: lines(worker)[-1].startswith("joined"), "the worker is back")


def test_another_broker_at_the_address_is_said_to_be_one(town: Mesh, tmp_path: Path) -> None:
    worker = town.worker("w1")
    until_said(worker, 1)
    worker.kill()
    town.broker.kill()
    other = BrokerProcess(tmp_path)
    other.address = town.broker.address
    other.start()
    try:
        worker.start()
        until(lambda: "not with the server key" in worker.said(), "the other key")
    finally:
        other.end()
    town.broker.start()
    until(lambda: lines(worker)[-1].startswith("joined"), "the worker is back")
