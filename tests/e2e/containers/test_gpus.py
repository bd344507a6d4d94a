"""What a real docker engine is asked for when a task asks for GPUs, and that it is nothing else."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.containers.kit import output, run, task
from tests.e2e.home import Home, until
from tests.engines import lent
from tests.servers.dockerd import started
from tests.servers.nvidia import CARD, NGC, UUIDS, NvidiaDockerd, nvidia_smi

TELL = ("sh", "-c", "echo $NVIDIA_VISIBLE_DEVICES $CUDA_VISIBLE_DEVICES")


@pytest.fixture(scope="module")
def engine() -> Iterator[NvidiaDockerd]:
    if reason := NvidiaDockerd.cannot_start():
        pytest.skip(reason)
    with started(NvidiaDockerd) as one:
        yield one


@pytest.fixture
def house(request: pytest.FixtureRequest, engine: NvidiaDockerd, tmp_path: Path) -> Iterator[Home]:
    """A home on a machine with two GPUs and docker; its mesh is up."""
    lent(request)
    (tmp_path / "home").mkdir()
    one = Home(tmp_path / "home")
    one.environment["DOCKER_HOST"] = engine.host
    nvidia_smi(one.folder / "bin", 2)
    try:
        one.scitq("up")
        yield one
        until(lambda: not engine.containers(), "no container is left")
    except BaseException:
        print(one.said())
        raise
    finally:
        one.clear()


def test_a_container_is_given_exactly_the_gpus_assigned_to_it(house: Home) -> None:
    script = f"{TELL[2]}; until test -e /output/go; do sleep 0.02; done"
    with house.client() as client:
        numbers = client.submit_many([task("sh", "-c", script, gpu=1.0)] * 2)
        until(lambda: all(output(client, number)[0] for number in numbers), "both have started")
        assert {output(client, number)[0] for number in numbers} == {f"{uuid} 0\n" for uuid in UUIDS[:2]}
        client.cancel(numbers)
    assert run(house, task(*TELL, gpu=2.0))[1] == f"{UUIDS[0]},{UUIDS[1]} 0,1\n"
    assert run(house, task(*TELL, gpu=0.5))[1] == f"{UUIDS[0]} 0\n"
    assert run(house, task(*TELL))[1] == "\n"


def test_what_docker_was_told_to_choose_is_all_there_is(house: Home, engine: NvidiaDockerd) -> None:
    with house.client() as client:
        (first,) = client.submit_many([task("sleep", "600", container_options="--gpus all")])
        until(lambda: next(iter(client.tasks([first]))).status == "running", "it runs")
        (second,) = client.submit_many([task(*TELL, gpu=0.5)])
        assert next(iter(client.tasks([second]))).status == "pending"
        (name,) = engine.containers()
        asked = engine.docker("inspect", "--format", "{{json .HostConfig.DeviceRequests}}", name)
        assert '"Count":-1' in asked
        client.cancel([first])
        assert client.wait([second], timeout=30)[0].status == "succeeded"


def test_the_example_of_the_manual(house: Home, engine: NvidiaDockerd) -> None:
    engine.add_ngc_image()
    said = house.scitq("launch", "--wait", "-b", "mygpubatch", "-d", NGC, "-O", "--gpus all", "nvidia-smi")
    assert said.splitlines()[-2:] == [f"GPU {number}: {CARD} (UUID: {UUIDS[number]})" for number in range(2)]


def test_gpus_are_asked_for_in_one_way(house: Home) -> None:
    words = ["scitq", "launch", "-d", NGC, "--gpu", "1", "-O", "--gpus all", "nvidia-smi"]
    done = subprocess.run(words, env=house.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("scitq: --gpu and -O '--gpus …' contradict each other")
