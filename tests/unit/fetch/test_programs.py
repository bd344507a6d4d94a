"""Programs of others: found here or in a container, ended with the transfer, their reason told in one line."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from scitq.fetch.programs import Kit
from scitq.fetch.storage import FetchError, Stopped, TimedOut, Watch

KIT = Kit(("frob", "grind"), "lab/kit:1")

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A PATH with nothing but what is installed by `install(name, script)`."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))

    def write(name: str, script: str) -> None:
        (programs / name).write_text(f"#!/bin/bash\nPATH=/usr/bin:/bin\n{script}\n")
        (programs / name).chmod(0o755)

    return write


def test_an_installed_one_runs_in_the_folder(tmp_path: Path, install: Install) -> None:
    install("frob", 'echo "$PWD: $*"')
    install("grind", "")

    assert KIT.run(["frob", "a b"], str(tmp_path), Watch()) == f"{tmp_path}: a b\n"


def test_one_is_found_where_its_installer_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    place = tmp_path / ".kit" / "frob"
    place.parent.mkdir()
    place.write_text("")
    place.chmod(0o755)

    assert Kit(("frob",), "", ("~/.kit",)).installed("frob") == str(place)


def test_the_container_runs_them_when_one_is_missing(tmp_path: Path, install: Install) -> None:
    install("frob", "echo wrong")
    install("docker", 'printf "%s\\n" "$@"')
    folder = tmp_path / "a,b"
    folder.mkdir()

    said = KIT.run(["frob", "./x"], str(folder), Watch(), reads=["/keys/k"], environment=["PASS"]).splitlines()

    assert said[:4] == ["run", "--rm", "--init", "--name"]
    assert said[5:7] == ["--user", f"{os.getuid()}:{os.getgid()}"]
    assert f'type=bind,"source={folder}",target=/data' in said
    assert "type=bind,source=/keys/k,target=/keys/k,readonly" in said
    assert said[-6:] == ["PASS", "--workdir", "/data", "lab/kit:1", "frob", "./x"]


@pytest.mark.usefixtures("install")
def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        KIT.run(["frob"], str(tmp_path), Watch())

    assert caught.value.reason == "not installed here: frob grind, nor docker, which could run lab/kit:1"
    assert not caught.value.retry


def test_a_docker_that_fails_is_not_all_that_is_missing(tmp_path: Path, install: Install) -> None:
    install("docker", "echo 'docker: Cannot connect to the Docker daemon.'; echo 'See docker run --help'; exit 125")

    with pytest.raises(FetchError) as caught:
        KIT.run(["frob"], str(tmp_path), Watch())

    docker = "docker, which could run lab/kit:1, says: Cannot connect to the Docker daemon."
    assert caught.value.reason == f"not installed here: frob grind; {docker}"


def test_what_fails_in_the_container_is_told_by_its_own_name(tmp_path: Path, install: Install) -> None:
    install("docker", "echo 'frob: no luck'; exit 3")

    with pytest.raises(FetchError, match=r"^frob: no luck$"):
        KIT.run(["frob"], str(tmp_path), Watch())


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo ERR000001 begins; echo 'x err: no luck'; echo ERR000001 ends; exit 3", "frob: x err: no luck"),
        ("echo one; echo two >&2; exit 1", "frob: two"),
        ("exit 7", "frob: exit code 7"),
        ("echo 2026-11-23T01:14:29 frob.3.0.3 err: file invalid; exit 3", "frob: file invalid"),
        ("echo 'frob: no such file'; exit 3", "frob: no such file"),
        ("printf 'error \\033[1m\\n'; exit 1", "frob: error \\x1b[1m"),
    ],
)
def test_a_failure_is_one_line(tmp_path: Path, install: Install, script: str, reason: str) -> None:
    install("frob", script)
    install("grind", "")

    with pytest.raises(FetchError) as caught:
        KIT.run(["frob"], str(tmp_path), Watch())

    assert caught.value.reason == reason


def test_a_program_and_what_it_started_end_with_the_transfer(tmp_path: Path, install: Install) -> None:
    stop = threading.Event()
    os.mkfifo(tmp_path / "alive")
    install("frob", "(exec 3>alive; echo here >&3; sleep 600) & wait")
    install("grind", "")
    ended = []

    def run() -> None:
        with pytest.raises(Stopped):
            KIT.run(["frob"], str(tmp_path), Watch(stop))
        ended.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    with open(tmp_path / "alive", encoding="ascii") as pipe:
        assert pipe.readline() == "here\n"
        stop.set()
        assert pipe.read() == ""  # the last that could write is gone
    thread.join()

    assert ended


def test_a_container_is_removed_when_the_time_is_over(tmp_path: Path, install: Install) -> None:
    install("docker", f'[ "$1" = rm ] && echo "$@" > {tmp_path}/removed; [ "$1" = run ] && exec sleep 600')
    watch = Watch()
    watch.limit(0.3)

    with pytest.raises(TimedOut):
        KIT.run(["frob"], str(tmp_path), watch)

    assert (tmp_path / "removed").read_text().startswith("rm --force scitq-fetch-")
