"""Whatever goes wrong becomes one line on stderr and an exit code."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from scitq.errors import NotFound, UsageError
from scitq.shell import main, root
from scitq.shell.tree import Command, Group


def failing(problem: BaseException) -> Callable[[object], int]:
    def fail(given: object) -> int:
        raise problem

    return fail


@pytest.mark.parametrize(
    ("problem", "code", "told"),
    [
        (UsageError("mend it"), 2, "mend it"),
        (NotFound("there is no task 5\nat all"), 1, "there is no task 5\\nat all"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (PermissionError(13, "Permission denied", "/x"), 1, "/x: Permission denied"),
        (TimeoutError("too late"), 1, "too late"),
        (KeyError("x"), 1, "a defect of scitq, please report it: KeyError: 'x' ("),
    ],
)
def test_a_failure_is_one_line(
    problem: BaseException,
    code: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(root, "ROOT", Group("scitq", "a tree", (Command("fail", "fail", failing(problem)),)))

    assert main.run(["fail"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"scitq: {told}")
    assert err.count("\n") == 1


def test_without_words_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([]) == 0
    assert capsys.readouterr().out.startswith("usage: scitq ")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    from scitq import __version__

    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"scitq {__version__}\n"


def scitq(stdout: int) -> tuple[int, bytes]:
    command = [sys.executable, "-m", "scitq", "launch", "-t", "x" * 100_000]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, check=False)
    return done.returncode, done.stderr


def test_a_reader_that_has_enough_is_no_failure_to_tell() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert scitq(writing) == (141, b"")
    finally:
        os.close(writing)


def test_a_full_disk_is_told() -> None:
    with open("/dev/full", "wb") as full:
        assert scitq(full.fileno()) == (1, b"scitq: No space left on device\n")
