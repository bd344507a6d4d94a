"""A user's home with a mesh whose worker has a docker engine of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.containers.kit import control_groups
from tests.e2e.home import Home, until
from tests.servers.dockerd import Dockerd


@pytest.fixture
def house(docker: Dockerd, tmp_path: Path) -> Iterator[Home]:
    """Its mesh is up; when the test is over, no container is left of it."""
    folder = tmp_path / "home"
    folder.mkdir()
    one = Home(folder)
    one.environment["DOCKER_HOST"] = docker.host
    try:
        one.scitq("up")
        yield one
        until(lambda: not docker.containers(), "no container is left")
        until(lambda: not control_groups(one), "no control group is left")
    except BaseException:
        print(one.said())
        print(docker.docker("ps", "-a"))
        raise
    finally:
        one.clear()
