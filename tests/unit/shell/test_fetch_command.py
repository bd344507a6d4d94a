"""`scitq fetch …`: what is printed, and the exit codes."""

import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from scitq.shell import main
from tests.sources import ROOT

DEADLINE = 20.0


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    (tmp_path / "data/sub").mkdir(parents=True)
    for name in ("x", "sub/new\nline"):
        (tmp_path / "data" / name).write_text("12345")
        os.utime(tmp_path / "data" / name, (0, 0))
    return tmp_path / "data"


def test_lists_tell_size_time_and_address(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["fetch", "list", "data"]) == 0
    assert capsys.readouterr().out == (
        "              5  1970-01-01 00:00:00  data/sub/new\\nline\n              5  1970-01-01 00:00:00  data/x\n"
    )
    assert main.run(["fetch", "list", "--not-recursive", f"file://{data}/"]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == [
        f"file://{data}/sub/",
        f"file://{data}/x",
    ]
    assert main.run(["fetch", "nrlist", "data"]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["sub/", "x"]
    assert main.run(["fetch", "list", "data/x"]) == 0
    assert capsys.readouterr().out.endswith("  data/x\n")


def test_json_is_one_array_of_objects(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["fetch", "list", "--json", "--exclude", "x", "data"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["size"], found["modified"], found["md5"]) == ("data/sub/new\nline", 5, 0.0, None)
    assert main.run(["fetch", "info", "--json", "data/x"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["size"] == 5
    assert main.run(["fetch", "du", "--json", "data"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"uri": "data", "files": 2, "bytes": 10}]
    assert main.run(["fetch", "sync", "--json", "data", "there"]) == 0
    assert [done["did"] for done in json.loads(capsys.readouterr().out)] == ["copied", "copied"]
    assert main.run(["fetch", "sync", "--json", "data", "there"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_one_line_tells_what_was_done_also_when_it_was_nothing(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, line in {
        "sync --dry-run data there": "would copy sub/new\\nline\nwould copy x\nwould copy 2 files, 10 B\n",
        "sync data there": "copied 2 files, 10 B in ",
        "sync  data there": "nothing to do; 2 files the same on both sides\n",
        "sync --delete --exclude x data/sub there": "copied 1 file, 5 B in ",
        "delete --dry-run there/x": "would delete x\nwould delete 1 file\n",
        "delete there/x": "deleted 1 file\n",
        "du data": "2 files, 10 B\n",
    }.items():
        assert main.run(["fetch", *words.split()]) == 0
        assert capsys.readouterr().out.startswith(line), words


def test_every_failure_is_a_line_and_the_code_is_1(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "dead").symlink_to("nowhere")
    os.mkfifo(data / "pipe")
    assert main.run(["fetch", "copy", "data/", "there"]) == 1
    told = capsys.readouterr()
    assert sorted(told.err.splitlines()) == [
        "scitq: dead: is a link that leads nowhere",
        "scitq: pipe: is neither a file nor a folder",
    ]
    assert told.out.startswith("copied 2 files, 10 B in ")
    assert told.out.endswith("; 2 files failed\n")
    assert main.run(["fetch", "list", "data"]) == 1
    assert main.run(["fetch", "du", "data"]) == 1


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ("list none", 1, "scitq: none: no such file or directory"),
        ("list s4://x", 2, "scitq: s4://x: unknown scheme s4 (known: file s3 azure ftp http https fasp run+fastq)"),
        ("copy data/x https://x/y", 2, "scitq: https://x/y: nothing can be stored by https"),
        ("copy data/x|what .", 2, "scitq: data/x|what: unknown action what (known: gunzip untar unzip mv:<folder>)"),
        ("sync --include [ data b", 2, "scitq: --include: [: not a pattern: [ without ] (see scitq fetch sync -h)"),
        ("sync --parallel 0 data b", 2, "scitq: --parallel: at least 1 is needed (see scitq fetch sync -h)"),
        ("sync --limit-rate fast data b", 2, None),
        ("sync --limit-rate none data b", 2, None),
        ("delete", 2, None),
        ("sync data/x b", 1, "scitq: data/x/: is a file, not a folder"),
        ("copy data/x data/x/y", 1, None),
        ("copy data b", 1, "scitq: data: is a folder (a trailing / means all that is in it)"),
    ],
)
def test_what_cannot_be_is_one_line(
    data: Path, capsys: pytest.CaptureFixture[str], words: str, code: int, line: str | None
) -> None:
    assert main.run(["fetch", *words.split()]) == code
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert line is None or told.err == f"{line}\n"


def test_whether_it_is_there_is_the_exit_code(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [main.run(["fetch", "exists", name]) for name in ("data", "data/x", "data/", "none")] == [0, 0, 0, 1]
    assert capsys.readouterr() == ("yes\nyes\nyes\nno\n", "")


def test_a_terminal_sees_how_far_it_is(data: Path) -> None:
    (data / "large").write_bytes(bytes(3 << 20))
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (25, 100))
    words = [sys.executable, "-m", "scitq.fetch", "copy", f"{data}/", f"{data}2", "--limit-rate", "2M"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdout=slave, stderr=slave, env=environment) as copying:
        os.close(slave)
        said = b""
        deadline = time.monotonic() + DEADLINE
        while select.select([master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                said += os.read(master, 1 << 16)
            except OSError:  # nobody is left on the other side
                break
    os.close(master)
    assert copying.returncode == 0
    shown = said.decode().replace("\r", "\n")
    assert "3.00M" in shown
    assert " of 3 files" in shown
    assert "B/s" in shown
    assert shown.rstrip().splitlines()[-1].startswith("copied 3 files, 3.0 MiB in ")
