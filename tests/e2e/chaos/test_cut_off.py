"""A worker is cut off past the grace and comes back: which attempt is believed then, and which is told to stop."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.client import Client
from tests.e2e.chaos.books import check_books, witnessed
from tests.e2e.chaos.cables import no_namespaces
from tests.e2e.chaos.mesh import Mesh, mesh
from tests.e2e.home import processes_of
from tests.integration.mesh import until

GRACE = 1.5


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Mesh]:
    with mesh(tmp_path / "mesh", "relays" if no_namespaces() else "namespaces", GRACE) as one:
        yield one
        for peer in one.peers:
            assert "fault of scitq" not in peer.said()


def gated(town: Mesh, gate: str) -> list[str]:
    """A task that leaves its name, and ends when the gate is there."""
    name = f'echo "$SCITQ_ATTEMPT" >> {town.folder}/witness'
    return ["sh", "-c", f"{name}; until [ -e {town.folder}/{gate} ]; do sleep 0.02; done; echo $SCITQ_ATTEMPT"]


def begun(town: Mesh, name: str) -> None:
    until(lambda: name in witnessed(town.folder), f"the start of {name}")


def attempt_at(town: Mesh, client: Client, task: int) -> tuple[str, int]:
    found = town.task(client, task)
    return found.status, found.attempt


def check(town: Mesh, client: Client, believed: dict[int, int], witness: list[str]) -> None:
    """How it ended in the books, and what had an effect."""
    ends = client.wait(list(believed), timeout=30)
    assert {end.task: (end.status, end.attempt) for end in ends} == {
        task: ("succeeded", attempt) for task, attempt in believed.items()
    }
    for task, attempt in believed.items():
        ((_, written),) = client.output(task)
        assert written.endswith(f"/{task}.{attempt}\n".encode())
    assert sorted(witnessed(town.folder)) == sorted(witness)
    check_books(town.broker.state, believed)


def test_its_task_was_handed_to_nobody_else(town: Mesh) -> None:
    w1 = town.worker("w1")
    with town.client() as client:
        task = client.submit(gated(town, "gate"))
        begun(town, "1.1")
        w1.cable.cut()
        town.until_standing(client, w1="lost")
        assert attempt_at(town, client, task) == ("pending", 1)

        w1.cable.mend()
        town.until_standing(client, w1="online")
        assert attempt_at(town, client, task) == ("running", 1)
        (town.folder / "gate").touch()
        check(town, client, {task: 1}, ["1.1"])


def test_its_task_ended_while_it_was_away(town: Mesh) -> None:
    w1 = town.worker("w1")
    with town.client() as client:
        task = client.submit(gated(town, "gate"))
        begun(town, "1.1")
        w1.cable.cut()
        town.until_standing(client, w1="lost")
        (town.folder / "gate").touch()
        until(lambda: not _commands(town, "gate"), "the end of the command")

        w1.cable.mend()
        check(town, client, {task: 1}, ["1.1"])


def test_its_task_was_handed_over_and_is_returned(town: Mesh) -> None:
    """It waits on another worker behind one that runs: the first attempt is current again."""
    w1 = town.worker("w1", concurrency=1)
    with town.client() as client:
        task = client.submit(gated(town, "gate"))
        begun(town, "1.1")
        town.worker("w2", concurrency=1, prefetch=1)
        other = client.submit(gated(town, "other"))
        begun(town, "2.1")
        w1.cable.cut()
        until(lambda: attempt_at(town, client, task) == ("assigned", 2), "the task is handed over")

        w1.cable.mend()
        until(lambda: attempt_at(town, client, task) == ("running", 1), "the first attempt is current again")
        (town.folder / "gate").touch()
        (town.folder / "other").touch()
        check(town, client, {task: 1, other: 1}, ["1.1", "2.1"])


def test_its_task_was_handed_over_and_has_started(town: Mesh) -> None:
    """The first attempt is told to stop, and nothing of it is left."""
    w1 = town.worker("w1")
    with town.client() as client:
        task = client.submit(gated(town, "gate"))
        begun(town, "1.1")
        w1.cable.cut()
        town.worker("w2")
        begun(town, "1.2")
        until(lambda: attempt_at(town, client, task) == ("running", 2), "the broker knows of the second start")

        w1.cable.mend()
        town.until_standing(client, w1="online")
        until(lambda: not _of(town, "w1"), "the first attempt is stopped")
        assert _of(town, "w2")
        (town.folder / "gate").touch()
        check(town, client, {task: 2}, ["1.1", "1.2"])


def test_its_task_was_handed_over_and_has_ended(town: Mesh) -> None:
    w1 = town.worker("w1")
    with town.client() as client:
        script = f"{gated(town, 'gate')[2].partition(';')[0]}; case $SCITQ_ATTEMPT in *.1) sleep 600 ;; esac"
        task = client.submit(["sh", "-c", f"{script}; echo $SCITQ_ATTEMPT"])
        begun(town, "1.1")
        w1.cable.cut()
        town.worker("w2")
        assert [end.attempt for end in client.wait([task], timeout=30)] == [2]

        w1.cable.mend()
        town.until_standing(client, w1="online")
        until(lambda: not _of(town, "w1"), "the first attempt is stopped")
        check(town, client, {task: 2}, ["1.1", "1.2"])


def _commands(town: Mesh, words: str) -> list[str]:
    return [line for line in town.processes().values() if line.startswith("sh -c") and words in line]


def _of(town: Mesh, worker: str) -> list[str]:
    """The commands that run on this worker: its folders are in their environment."""
    return list(processes_of(town.folder / f"{worker}-scratch" / "tasks").values())
