"""The same through podman's docker-compatible socket."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.containers.kit import control_groups, output, run, task
from tests.e2e.home import Home, until
from tests.engines import lent
from tests.servers.dockerd import started
from tests.servers.nvidia import nvidia_smi
from tests.servers.podman import Podman


@pytest.fixture(scope="module")
def engine() -> Iterator[Podman]:
    if reason := Podman.cannot_start():
        pytest.skip(reason)
    with started(Podman) as one:
        yield one


@pytest.fixture
def house(request: pytest.FixtureRequest, engine: Podman, tmp_path: Path) -> Iterator[Home]:
    lent(request)
    (tmp_path / "home").mkdir()
    one = Home(tmp_path / "home")
    one.environment["DOCKER_HOST"] = engine.host
    try:
        one.scitq("up")
        yield one
        until(lambda: not engine.containers(), "no container is left")
        until(lambda: not control_groups(one), "no control group is left")
    except BaseException:
        print(one.said())
        raise
    finally:
        one.clear()


def test_a_task_in_podman(house: Home, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("input\n")
    script = "cat /input/in.txt; echo result > /output/r; echo trouble >&2; exit 3"
    end, out, err = run(house, task("sh", "-c", script, inputs=(f"{tmp_path}/in.txt",), output=f"{tmp_path}/results"))

    assert (end.status, end.class_, end.exit_code) == ("failed", "exit", 3)
    assert (out, err) == ("input\n", "trouble\n")
    assert (tmp_path / "results" / "r").read_text() == "result\n"
    with house.client() as client:
        assert client.workers()[0].engine.startswith("podman ")


def test_an_agent_and_a_service_that_die_lose_nothing(house: Home, engine: Podman) -> None:
    script = "for n in $(seq 100); do echo line $n; sleep 0.05; done; exit 7"
    with house.client() as client:
        (number,) = client.submit_many([task("sh", "-c", script)])
        until(lambda: next(iter(client.tasks([number]))).status == "running", "it runs")
        house.kill_and_restart(house.worker)
        engine.kill()
        engine.start()
        (end,) = client.wait([number], timeout=50)
        assert (end.exit_code, end.attempt) == (7, 1)
        assert output(client, number)[0] == "".join(f"line {n}\n" for n in range(1, 101))


def test_a_task_in_podman_can_be_cancelled(house: Home) -> None:
    with house.client() as client:
        (number,) = client.submit_many([task("sleep", "600")])
        until(lambda: next(iter(client.tasks([number]))).status == "running", "it runs")
        client.cancel([number])
        assert client.wait([number], timeout=30)[0].status == "cancelled"


def test_a_podman_that_would_give_no_gpu_says_so(house: Home) -> None:
    nvidia_smi(house.folder / "bin", 1)
    house.kill_and_restart(house.worker)
    with house.client() as client:
        until(lambda: client.workers()[0].gpus, "the worker tells of its GPU")
        engine = client.workers()[0].engine
    if not engine.startswith(("podman 4.", "podman 5.0", "podman 5.1", "podman 5.2", "podman 5.3")):
        pytest.skip(f"{engine} gives them, where there are any")
    end, _, _ = run(house, task("true", gpu=1.0))
    assert (end.class_, end.exit_code) == ("exit", None)
    assert f"{engine} gives containers no GPU" in end.reason
