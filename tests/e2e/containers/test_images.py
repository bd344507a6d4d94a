"""Images come from a registry once, with the login that an admin gave; what cannot be had says why."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.containers.kit import run, task
from tests.e2e.home import Home, until
from tests.servers.dockerd import Dockerd
from tests.servers.registry import ADDRESS, PASSWORD, USER, Registry, registry


@pytest.fixture
def shelf(docker: Dockerd, tmp_path: Path) -> Iterator[Registry]:
    with registry(docker, tmp_path / "registry") as one:
        yield one


def login(house: Home, password: str) -> subprocess.CompletedProcess[str]:
    words = ["scitq", "manage", "registry", "login", "-u", USER, ADDRESS]
    return subprocess.run(
        words, env=house.environment, input=f"{password}\n", capture_output=True, text=True, check=False
    )


def test_one_pull_serves_many_tasks_and_the_login_lies_in_one_private_file(
    house: Home, docker: Dockerd, shelf: Registry
) -> None:
    image = shelf.add("big:1", "ENV A=1")
    assert login(house, PASSWORD).returncode == 0
    with house.client() as client:
        numbers = client.submit_many([task("true", container=image)] * 20)
        assert {end.status for end in client.wait(numbers, timeout=55)} == {"succeeded"}
    assert shelf.pulls(image) == 1  # its configuration: the one layer is here already
    until(lambda: not docker.containers(), "no container holds the image")
    docker.docker("rmi", image)

    assert house.scitq("manage", "registry", "list").splitlines()[-1].split()[:2] == [ADDRESS, USER]
    holders = [
        path
        for path in house.folder.rglob("*")
        if path.is_file() and not path.is_symlink() and PASSWORD.encode() in path.read_bytes()
    ]
    assert holders == [house.paths.state / "access" / "registries.toml"]
    assert os.stat(holders[0]).st_mode & 0o777 == 0o600

    house.scitq("manage", "registry", "logout", ADDRESS)
    end, _, _ = run(house, task("true", container=image))
    assert (end.status, end.class_) == ("failed", "image")
    assert "scitq manage registry login" in end.reason


def test_a_login_outlives_broker_and_worker(house: Home, shelf: Registry) -> None:
    image = shelf.add("kept:1", "ENV A=2")
    assert login(house, PASSWORD).returncode == 0
    house.kill_and_restart(house.broker, house.worker)
    assert run(house, task("true", container=image))[0].status == "succeeded"


def test_a_wrong_password_is_class_image(house: Home, shelf: Registry) -> None:
    image = shelf.add("closed:1", "ENV A=3")
    assert login(house, "wrong").returncode == 0
    end, _, _ = run(house, task("true", container=image))
    assert (end.status, end.class_) == ("failed", "image")
    assert image in end.reason


def test_an_image_that_is_nowhere_is_class_image(house: Home, shelf: Registry) -> None:
    assert login(house, PASSWORD).returncode == 0
    end, _, _ = run(house, task("true", container=f"{ADDRESS}/nothing:1"))
    assert (end.status, end.class_) == ("failed", "image")
    assert "not found" in end.reason or "unknown" in end.reason


@pytest.mark.parametrize("words", [["-u", USER, "https://x/y"], ["-u", "", ADDRESS]])
def test_a_login_that_cannot_be_is_refused_in_a_line(house: Home, words: list[str]) -> None:
    done = subprocess.run(
        ["scitq", "manage", "registry", "login", *words],
        env=house.environment, input="x\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
