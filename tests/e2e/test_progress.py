"""`explain` tells how far inputs, resources and results are, as their worker tells; one that hangs is left out."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.home import Home, home, until
from tests.servers.counting_http import CountingServer, counting_http

MIB = 1 << 20
MANY = 40  # tasks: a command that waited 2 s for each would take too long for `Home.scitq`


@pytest.fixture
def source() -> Iterator[CountingServer]:
    with counting_http() as server:
        server.files["/x"] = bytes(8 * MIB)
        yield server


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Home]:
    with home(tmp_path / "home") as one:
        yield one


def explained(house: Home, task: int) -> list[str]:
    return house.scitq("manage", "task", "explain", str(task)).splitlines()


def tells(house: Home, task: int, begin: str, end: str) -> None:
    until(
        lambda: any(line.startswith(begin) and end in line for line in explained(house, task)),
        f"{begin} … {end}",
    )


def test_an_input_tells_how_far_it_is(house: Home, source: CountingServer) -> None:
    source.slow_after = 3 * MIB
    uri = f"{source.url}/x"
    with house.client() as client:
        task = client.submit(["true"], inputs=(uri,))
        tells(house, task, f"{uri}: 3", " of 8 MiB")
        tells(house, task, f"{uri}: 3", "/s, ")  # the rate, once a second is over
        source.slow_after = None
        assert client.wait([task], timeout=50)[0].status == "succeeded"
    assert explained(house, task) == [f"task {task} is succeeded", *explained(house, task)[1:]]
    assert uri not in "".join(explained(house, task))


def test_a_resource_tells_each_task_that_waits_for_it(house: Home, source: CountingServer) -> None:
    source.slow_after = 3 * MIB
    uri = f"{source.url}/x"
    with house.client() as client:
        tasks = client.submit_many([{"command": ["true"], "resources": (uri,)}] * 2)
        for task in tasks:
            tells(house, task, f"resource {uri}: 3", " of 8 MiB")
        source.slow_after = None
        assert {end.status for end in client.wait(tasks, timeout=50)} == {"succeeded"}
    assert source.gets == {"/x": 1}


def test_a_download_that_is_gone_on_with_counts_what_was_here(house: Home, source: CountingServer) -> None:
    source.slow_after = 5 * MIB
    uri = f"{source.url}/x"
    noted = "tasks/.staging-*/arriving/*/.fetch-*/files/.fetch-*.json"
    with house.client() as client:
        task = client.submit(["true"], inputs=(uri,))
        until(lambda: list(house.paths.scratch.glob(f"**/{noted}")), "what came is noted")
        source.slow_after = 0
        house.kill_and_restart(house.worker)
        tells(house, task, f"{uri}: 5", " of 8 MiB")
        source.slow_after = None
        assert client.wait([task], timeout=50)[0].status == "succeeded"


def test_results_tell_how_far_they_are(tmp_path: Path) -> None:
    """Held to a rate by the settings of fetch, as an admin may."""
    folder = tmp_path / "home"
    with home(folder) as house:
        house.scitq("down")
        settings = folder / "config/scitq/fetch.toml"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("[limits]\nrate = 2_000_000\n")
        house.scitq("up")
        with house.client() as client:
            task = client.submit(["sh", "-c", "head -c 8M /dev/zero > $OUTPUT/x"], output=f"{tmp_path}/results/")
            tells(house, task, f"results to {tmp_path}/results/: ", " of 8 MiB")
            assert client.wait([task], timeout=50)[0].status == "succeeded"
    assert (tmp_path / "results/x").stat().st_size == 8 * MIB


def test_a_worker_that_hangs_is_left_out(house: Home, source: CountingServer) -> None:
    source.slow_after = 3 * MIB
    with house.client() as client:
        client.worker_update(client.workers()[0].name, prefetch=MANY)
        tasks = client.submit_many([{"command": ["true"], "inputs": (f"{source.url}/x",)}] * MANY)
        tells(house, tasks[0], f"{source.url}/x: ", " of 8 MiB")
        worker = house.pid(house.worker)
        os.kill(worker, signal.SIGSTOP)
        try:
            line, *more = house.scitq("manage", "task", "explain", *map(str, tasks)).splitlines()
        finally:
            os.kill(worker, signal.SIGCONT)
        assert (line, *[one for one in more if source.url in one]) == (f"task {tasks[0]} is staging",)
        client.cancel(tasks)
