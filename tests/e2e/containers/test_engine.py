"""What a real engine is asked directly."""

import pytest

from scitq.node.containers import finding
from tests.servers.dockerd import TINY, Dockerd


def test_waiting_for_one_that_runs_on_ends_in_time(docker: Dockerd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker.host)
    engine = finding.probe()
    assert engine is not None
    docker.docker("run", "-d", "--name", "long", TINY, "sleep", "600")

    engine.wait("long", 0.2)  # an engine that is taken for gone raises

    assert engine.look("long").runs
