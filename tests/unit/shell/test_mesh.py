"""Who is signalled when a local mesh is stopped: only the process that holds the lock."""

import fcntl
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scitq.errors import Conflict
from scitq.shell.mesh import Part, stop


@pytest.fixture
def part(tmp_path: Path) -> Part:
    return Part("worker", tmp_path / "lock", tmp_path / "pid", tmp_path / "log")


@pytest.fixture
def bystander(part: Part) -> Iterator["subprocess.Popen[bytes]"]:
    """A process whose pid the file names, and which has nothing to do with the lock."""
    with subprocess.Popen(["sleep", "60"]) as process:
        part.pid.write_text(f"{process.pid}\n")
        yield process
        process.kill()


def holder(part: Part) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(["flock", part.lock, "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_what_does_not_run_is_left_alone(part: Part, bystander: "subprocess.Popen[bytes]") -> None:
    part.lock.touch()

    stop(part)

    assert bystander.poll() is None


def test_a_pid_that_was_given_to_another_is_not_signalled(part: Part, bystander: "subprocess.Popen[bytes]") -> None:
    with part.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(Conflict, match="was not started by"):
            stop(part)

    assert bystander.poll() is None


@pytest.mark.parametrize("text", [None, "", "x", "0", "-1", "999999999"])
def test_a_pid_file_that_says_nothing_is_told(part: Part, text: str | None) -> None:
    if text is not None:
        part.pid.write_text(text)
    with part.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(Conflict, match="was not started by"):
            stop(part)


def test_the_holder_is_ended(part: Part) -> None:
    with holder(part) as process:
        part.pid.write_text(str(process.pid))

        stop(part)

        assert process.wait() == -15


def test_the_holder_is_ended_by_a_program_with_many_files_open(part: Part) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack, holder(part) as process:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1024):
            stack.callback(os.close, os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        part.pid.write_text(str(process.pid))

        stop(part)

        assert process.wait() == -15
