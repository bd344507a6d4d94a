"""Tasks that ask for GPUs, on a worker for which a stand-in for nvidia-smi tells of two."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scitq.client import Client
from scitq.model import Spec
from tests.e2e.containers.kit import output
from tests.e2e.home import Home, until
from tests.servers.nvidia import CARD, UUIDS, nvidia_smi

TELL = 'echo "$CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER $NVIDIA_VISIBLE_DEVICES"'


@contextmanager
def machine(folder: Path, before: str = "", **environ: str) -> Iterator[Home]:
    """A home on a machine with two GPUs, whose driver does something first; its mesh is up in this environment."""
    folder.mkdir()
    one = Home(folder)
    one.environment |= environ
    nvidia_smi(folder / "bin", 2, before)
    try:
        one.scitq("up")
        yield one
    except BaseException:
        print(one.said())
        raise
    finally:
        one.clear()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Home]:
    with machine(tmp_path / "home") as one:
        yield one


def waiting(house: Home, **fields: object) -> Spec:
    """A task that tells which GPU it has, and runs until it is let go."""
    script = f"echo $CUDA_VISIBLE_DEVICES; until test -e {house.folder}/go; do sleep 0.02; done"
    return Spec(command=("sh", "-c", script), **fields)  # type: ignore[arg-type]


def told(client: Client, number: int) -> str:
    """What it has said so far, once it has said something."""
    until(lambda: output(client, number)[0], f"task {number} tells what it has")
    return output(client, number)[0].strip()


def status(client: Client, number: int) -> str:
    return next(iter(client.tasks([number]))).status


def test_a_worker_tells_of_its_gpus(house: Home) -> None:
    with house.client() as client:
        until(lambda: client.workers()[0].gpus, "the worker tells of GPUs")
        (worker,) = client.workers()
    assert [(gpu.name, gpu.memory) for gpu in worker.gpus] == [(CARD, 15360 << 20)] * 2
    assert worker.tags == "G"


def test_a_driver_that_takes_its_time_delays_only_who_wants_a_gpu(tmp_path: Path) -> None:
    awake = tmp_path / "awake"
    with machine(tmp_path / "home", f"until test -e {awake}; do sleep 0.02; done") as house:
        assert house.scitq("launch", "--wait", "echo", "hello").splitlines()[-1] == "hello"
        with house.client() as client:
            assert not client.workers()[0].gpus
            (number,) = client.submit_many([Spec(command=("true",), gpu=1.0)])
            awake.touch()
            assert client.wait([number], timeout=30)[0].status == "succeeded"
            assert client.workers()[0].tags == "G"


def test_a_task_is_told_its_gpus_and_no_other(house: Home) -> None:
    said = house.scitq("launch", "--wait", "--gpu", "1", "sh", "-c", TELL)
    assert said.splitlines()[-1] == f"0 PCI_BUS_ID {UUIDS[0]}"
    said = house.scitq("launch", "--wait", "--gpu", "2", "sh", "-c", TELL)
    assert said.splitlines()[-1] == f"0,1 PCI_BUS_ID {UUIDS[0]},{UUIDS[1]}"
    assert house.scitq("launch", "--wait", "sh", "-c", f"{TELL} | tr -d ' '").splitlines()[-1] == ""


def test_a_worker_gives_what_it_was_given_itself(tmp_path: Path) -> None:
    """As in a job of Slurm."""
    with machine(tmp_path / "home", CUDA_VISIBLE_DEVICES="1") as house:
        assert house.scitq("launch", "--wait", "--gpu", "1", "sh", "-c", TELL).splitlines()[-1].startswith("1 ")
        with house.client() as client:
            assert len(client.workers()[0].gpus) == 1


def test_two_at_once_never_share_one_that_they_asked_whole(house: Home) -> None:
    with house.client() as client:
        first, second = client.submit_many([waiting(house, gpu=1.0)] * 2)
        assert {told(client, first), told(client, second)} == {"0", "1"}
        (house.folder / "go").touch()
        assert [end.status for end in client.wait([first, second], timeout=30)] == ["succeeded"] * 2


def test_who_shares_shares_with_those_that_do(house: Home) -> None:
    with house.client() as client:
        first, second = client.submit_many([waiting(house, gpu=0.5)] * 2)
        assert told(client, first) == told(client, second) == "0"
        (house.folder / "go").touch()
        client.wait([first, second], timeout=30)


def test_who_asks_for_one_that_is_taken_waits_for_it(house: Home) -> None:
    with house.client() as client:
        first, second = client.submit_many([waiting(house, gpu=2.0), Spec(command=("true",), gpu=0.1)])
        assert told(client, first) == "0,1"
        assert status(client, second) == "pending"
        (house.folder / "go").touch()
        ends = client.wait([first, second], timeout=30)
        assert [end.status for end in ends] == ["succeeded"] * 2
        one, other = client.attempts([first, second])
        assert one.ended_at is not None
        assert other.started_at is not None
        assert other.started_at >= one.ended_at


def test_a_gpu_is_still_taken_after_the_agent_died(house: Home) -> None:
    with house.client() as client:
        (first,) = client.submit_many([waiting(house, gpu=1.0)])
        assert told(client, first) == "0"
        house.kill_and_restart(house.worker)
        (second,) = client.submit_many([waiting(house, gpu=1.0)])
        assert told(client, second) == "1"
        (house.folder / "go").touch()
        ends = client.wait([first, second], timeout=30)
        assert [(end.status, end.attempt) for end in ends] == [("succeeded", 1)] * 2
