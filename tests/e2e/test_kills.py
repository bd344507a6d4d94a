"""`kill -9` and SIGSTOP against each part of a local mesh: nothing is lost, nothing done twice, all of it told."""

import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.client import Client
from scitq.model import LOST_BUDGET, MIB
from tests.e2e.home import Home, Witness, home, until

TASKS = 300
GROWTH = 32 * MIB  # of memory that much output may cost each part of the mesh


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Home]:
    with home(tmp_path / "home") as place:
        yield place


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(tmp_path / "witness")


def small(witness: Witness) -> tuple[str, ...]:
    """A task that leaves its name, and takes long enough for others to be caught in it."""
    return ("sh", "-c", f'echo "$SCITQ_ATTEMPT" >> {witness.path}; echo "$SCITQ_ATTEMPT"; sleep 0.02')


def check_once(client: Client, witness: Witness, ids: range) -> None:
    """Each of these tasks ran once, as the attempt that is believed, and its output is there.

    An attempt that was handed over and never started is no attempt; its number is used up all the same.
    """
    believed = {attempt.task: f"{attempt.task}.{attempt.attempt}" for attempt in client.attempts(ids)}
    assert sorted(believed) == list(ids)
    assert sorted(witness.names) == sorted(believed.values())
    assert {task.status for task in client.tasks(ids)} == {"succeeded"}
    for task in ids:
        ((stream, data),) = client.output(task)
        assert stream == "stdout"
        assert data.endswith(f"/{believed[task]}\n".encode())


# ---------------------------------------------------------------------------- broker and agent


@pytest.mark.parametrize("parts", ["broker", "worker", "broker and worker"])
def test_killed_again_and_again_while_tasks_run(mesh: Home, witness: Witness, parts: str) -> None:
    killed = [part for part in (mesh.broker, mesh.worker) if part.name in parts.split()]
    with mesh.client() as client:
        ids = client.submit_many([small(witness)] * TASKS)
    for begun in range(20, TASKS, 40):
        witness.wait(begun)
        assert len(witness.names) < TASKS
        mesh.kill_and_restart(*killed)
    with mesh.client() as client:
        assert {end.status for end in client.wait(ids, timeout=60)} == {"succeeded"}
        check_once(client, witness, ids)
    if len(killed) == 2:
        mesh.leaves_nothing()


def test_a_client_that_waits_is_served_by_every_successor(mesh: Home, witness: Witness) -> None:
    with mesh.client() as client:
        ids = client.submit_many([small(witness)] * 40)
        told = set()
        for change in client.changes(ids):
            told.add((change.task, change.status))
            if len(told) in {20, 60}:
                mesh.kill_and_restart(mesh.broker)
        assert {(task, "succeeded") for task in ids} <= told
        check_once(client, witness, ids)


def test_a_killed_worker_has_one_successor(mesh: Home) -> None:
    """The broker still takes the dead one for alive when the next is started."""
    for _ in range(3):
        mesh.kill(mesh.worker)
        mesh.scitq("up")
        mesh.scitq("up")
    assert "in use by another" not in mesh.worker.log.read_text()
    mesh.scitq("launch", "--wait", "true")
    mesh.scitq("down")


def test_a_broker_that_stands_still_loses_nobody(mesh: Home, witness: Witness, tmp_path: Path) -> None:
    """What was handed over runs on meanwhile; when the broker moves again, it hears of every end."""
    gate = tmp_path / "gate"
    with mesh.client() as client:
        held = ("sh", "-c", f'echo "$SCITQ_ATTEMPT" >> {witness.path}; until [ -e {gate} ]; do sleep 0.01; done')
        ids = client.submit_many([held] * 2)
        witness.wait(2)
        broker = mesh.pid(mesh.broker)
        os.kill(broker, signal.SIGSTOP)
        gate.touch()
        until(lambda: not _running(mesh), "what was handed over has ended")
        os.kill(broker, signal.SIGCONT)
        assert {end.status for end in client.wait(ids, timeout=60)} == {"succeeded"}
        assert sorted(witness.names) == sorted(f"{task}.1" for task in ids)
        assert [each.attempt for each in client.attempts(ids)] == [1, 1]
        assert [worker.status for worker in client.workers()] == ["online"]


@pytest.mark.proof
def test_a_broker_that_stands_still_past_the_grace_loses_nobody(mesh: Home, witness: Witness) -> None:
    """The grace counts only while the broker itself runs."""
    mesh.kill(mesh.broker)
    words = ["scitq", "broker", "--grace", "6", "--bind", mesh.address]  # the grace: more than one beat
    with subprocess.Popen(words, env=mesh.environment, stderr=subprocess.DEVNULL) as broker:
        with mesh.client() as client:
            until(lambda: [worker.status for worker in client.workers()] == ["online"], "the worker is back")
            long = ("sh", "-c", f'echo "$SCITQ_ATTEMPT" >> {witness.path}; sleep 9')
            ids = client.submit_many([long])
            witness.wait(1)
            broker.send_signal(signal.SIGSTOP)
            until(lambda: not _running(mesh), "what was handed over has ended")
            broker.send_signal(signal.SIGCONT)
            assert [end.status for end in client.wait(ids, timeout=60)] == ["succeeded"]
            assert [worker.status for worker in client.workers()] == ["online"]
            assert witness.names == [f"{ids[0]}.1"]
        broker.terminate()


def _running(mesh: Home) -> list[str]:
    return [words for words in mesh.processes().values() if "witness" in words]


# ---------------------------------------------------------------------------- keeper


def test_a_task_whose_keeper_dies_is_lost_and_runs_again(mesh: Home, witness: Witness) -> None:
    """Until the budget for such accidents is spent; each time, what the keeper left is killed before."""
    script = f'echo "$PPID $$ /${{SCITQ_ATTEMPT#*/}}" >> {witness.path}; sleep 600 & wait'
    with mesh.client() as client:
        task = client.submit(["sh", "-c", script])
        orphans: list[int] = []
        for attempt in range(1, LOST_BUDGET + 2):
            witness.wait(attempt)
            assert witness.names[-1] == f"{task}.{attempt}"
            keeper, child = map(int, witness.path.read_text().splitlines()[-1].split()[:2])
            assert all(not _alive(pid) for pid in orphans)
            orphans.append(child)
            os.kill(keeper, signal.SIGKILL)
        (end,) = client.wait([task], timeout=60)
        assert (end.status, end.class_, end.attempt) == ("failed", "lost", LOST_BUDGET + 1)
        assert [each.class_ for each in client.attempts([task])] == ["lost"] * (LOST_BUDGET + 1)
        assert all(not _alive(pid) for pid in orphans)
        assert not [words for words in mesh.processes().values() if "sleep 600" in words]
        (after,) = client.wait([client.submit(["true"])], timeout=60)
        assert after.status == "succeeded"


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except FileNotFoundError:
        return False


# ---------------------------------------------------------------------------- much output


@pytest.mark.parametrize(
    "size", [100 * MIB, pytest.param(1024 * MIB, marks=[pytest.mark.proof, pytest.mark.timeout(600)])]
)
@pytest.mark.parametrize("limit", [None, 32 * MIB])
def test_much_output_passes_in_little_memory(mesh: Home, tmp_path: Path, size: int, limit: int | None) -> None:
    """And another task begins and ends while it passes: the flood lasts until it has."""
    gate, part = tmp_path / "gate", "dd bs=1M iflag=fullblock status=none"
    flood = f"seq 1000000000000 | {{ {part} count={size // MIB}; until [ -e {gate} ]; do {part} count=1; done; }}"
    with mesh.client() as client:
        client.wait([client.submit(["true"])], timeout=60)  # every part has started, keepers too
        before = _peaks(mesh)
        big = client.submit(["sh", "-c", flood], log_limit=limit)
        next(client.output(big, follow=True))
        (quick,) = client.wait([client.submit(["echo", "quick"])], timeout=60)
        assert quick.status == "succeeded"
        gate.touch()

        (end,) = client.wait([big], timeout=500)
        assert end.status == "succeeded"
        after = _peaks(mesh)
        grown = {name: after[name] - before[name] for name in after}
        assert max(grown.values()) < GROWTH, grown

        (attempt,) = client.attempts([big])
        assert attempt.stdout.total >= size
        _check_output(client, big, attempt.stdout.total, limit)


def _check_output(client: Client, task: int, total: int, limit: int | None) -> None:
    """What is kept is what `seq` writes, each byte in its place; only the middle may be missing, by the limit."""
    found, expected = hashlib.sha256(), hashlib.sha256()
    at = kept = 0
    with subprocess.Popen(["seq", "1000000000000"], stdout=subprocess.PIPE) as source:
        assert source.stdout is not None
        for part in client.output_parts(task, stream="stdout"):
            while at < part.offset:
                at += len(source.stdout.read(min(MIB, part.offset - at)))
            found.update(part.data)
            expected.update(source.stdout.read(len(part.data)))
            at += len(part.data)
            kept += len(part.data)
        source.kill()
    assert at == total
    assert kept == (total if limit is None else min(total, limit))
    assert found.digest() == expected.digest()


def _peaks(mesh: Home) -> dict[str, int]:
    """The most memory that each part of the mesh had so far, in bytes; of all keepers the biggest."""
    peaks: dict[str, int] = {}
    for pid, words in mesh.processes().items():
        name = next((part for part in ("scitq.broker", "scitq node", "scitq.node.keeper") if part in words), None)
        if name is not None:
            status = Path(f"/proc/{pid}/status").read_text()
            peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
            peaks[name] = max(peaks.get(name, 0), peak)
    assert len(peaks) == 3
    return peaks
