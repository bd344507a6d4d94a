"""Tasks with requests and without on a real mesh: never more at once than the worker has, whatever dies."""

import random
from pathlib import Path

from scitq.needs import Needs
from scitq.node.probe import probe
from tests.integration.mesh import broker, until
from tests.integration.worker import worker

MACHINE = probe()
SLOTS = 4
TASKS = 60
NOTED = 'echo "+$0" >> "$1"; sleep 0.05; echo "-$0" >> "$1"'  # one write each: lines do not mix


def requests(seed: int) -> list[Needs]:
    """Half of them ask, for parts of the machine that do not add up nicely."""
    dice = random.Random(seed)
    return [
        Needs(
            cpu=dice.choice([0, 0, 0.5, 1, MACHINE.cpus]),
            mem=int(MACHINE.memory * dice.choice([0, 0, 0.2, 0.35, 0.6, 1])),
        )
        for _ in range(TASKS)
    ]


def test_never_more_runs_at_once_than_there_is_though_the_agent_dies(tmp_path: Path) -> None:
    asked = requests(7)
    book = tmp_path / "book"
    with (
        broker(tmp_path) as process,
        worker(process.address, tmp_path / "scratch", name="w1", concurrency=SLOTS, prefetch=3) as agent,
        process.client() as client,
    ):
        until(lambda: any(row.status == "online" for row in client.workers()), "a worker online")
        ids = client.submit_many(
            {
                "command": ["sh", "-c", NOTED, str(number), str(book)],
                "cpu": needs.cpu or None,
                "mem": needs.mem or None,
            }
            for number, needs in enumerate(asked)
        )
        for part in (3, 2):
            until(lambda part=part: book.exists() and len(book.read_text().split()) > TASKS // part, "they run")  # type: ignore[misc]
            agent.kill()
            agent.start()
        ends = client.wait(ids, timeout=120)

    assert [end.class_ for end in ends] == [""] * TASKS
    running: set[int] = set()
    for line in book.read_text().split():
        (running.add if line[0] == "+" else running.remove)(int(line[1:]))
        assert len(running) <= SLOTS
        assert sum(asked[one].mem for one in running) <= MACHINE.memory
        assert sum(asked[one].cpu or MACHINE.cpus / SLOTS for one in running) <= MACHINE.cpus + 1e-6
    assert not running
