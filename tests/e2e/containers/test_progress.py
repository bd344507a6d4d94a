"""A pull that is on its way tells how far it is, to each task that waits for it."""

import subprocess
from pathlib import Path

from tests.e2e.containers.kit import task
from tests.e2e.home import Home, until
from tests.servers.dockerd import Dockerd
from tests.servers.holding import holding
from tests.servers.registry import ADDRESS, PASSWORD, USER, registry

MIB = 1 << 20
SLOW = "127.0.0.1:5001"  # the same registry, by a way that is held back


def test_a_pull_tells_its_layers_and_bytes(house: Home, docker: Dockerd, tmp_path: Path) -> None:
    with registry(docker, tmp_path / "registry") as shelf:
        name = shelf.add_grown("grown:1", 16 * MIB).removeprefix(ADDRESS)
        with holding(5001, 5000, 6 * MIB, docker.within) as way, house.client() as client:
            words = ["scitq", "manage", "registry", "login", "-u", USER, SLOW]
            subprocess.run(words, env=house.environment, input=f"{PASSWORD}\n", text=True, check=True)
            numbers = client.submit_many([task("true", container=SLOW + name)] * 2)
            for number in numbers:
                until(
                    lambda number=number: any(  # type: ignore[misc]
                        line.startswith(f"image {SLOW}{name}: 1 of 2 layers, ") and " of 16 MiB" in line
                        for line in house.scitq("manage", "task", "explain", str(number)).splitlines()
                    ),
                    "it tells how far it is",
                )
            way.let_go()
            assert {end.status for end in client.wait(numbers, timeout=50)} == {"succeeded"}
            assert "image" not in house.scitq("manage", "task", "explain", str(numbers[0]))
    until(lambda: not docker.containers(), "no container holds the image")
    docker.docker("rmi", SLOW + name)
