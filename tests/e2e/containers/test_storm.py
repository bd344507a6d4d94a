"""Many containers while agent and engine are killed again and again: all end right, and nothing is left over."""

import random
import time
from pathlib import Path

import pytest

from tests.e2e.containers.kit import output, task
from tests.e2e.home import Home, until
from tests.servers.dockerd import Dockerd


@pytest.mark.parametrize("count", [16, pytest.param(200, marks=[pytest.mark.proof, pytest.mark.timeout(900)])])
def test_tasks_end_right_under_kills_of_agent_and_engine(house: Home, docker: Dockerd, count: int) -> None:
    chance = random.Random(7)
    with house.client() as client:
        client.worker_update(client.workers()[0].name, concurrency=4)
        numbers = client.submit_many(
            [task("sh", "-c", f"echo begin {n}; sleep 0.5; echo end {n}", retry=0) for n in range(count)]
        )
        left = set(numbers)
        strikes = 0
        while left:
            time.sleep(chance.uniform(2.0, 5.0))
            if strikes < max(3, count // 10):
                strikes += 1
                if strikes % 2:
                    house.kill_and_restart(house.worker)
                else:
                    docker.kill()
                    docker.start()
            left = {found.id for found in client.tasks(list(left)) if found.status not in {"succeeded", "failed"}}
        assert [end.status for end in client.wait(numbers)] == ["succeeded"] * count
        for n, number in enumerate(numbers):
            assert output(client, number) == (f"begin {n}\nend {n}\n", "")
    until(lambda: not docker.containers(), "no container is left")
    rooms = [house.paths.scratch / room for room in ("tasks", "containers", "outbox")]
    until(lambda: not [file for room in rooms for file in room.iterdir()], "the folders are empty")
    mounts = Path("/proc/mounts").read_text()
    assert str(house.folder) not in mounts
    assert f"{docker.folder}/data/overlay2/" not in mounts
