"""What the services are started with, from the words of their commands."""

import os
from pathlib import Path
from typing import Any

import pytest

from scitq.config import Server
from scitq.shell import main


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("CONFIG", "STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.delenv("SCITQ_SERVER", raising=False)
    return tmp_path


def test_a_worker_is_started_by_place_and_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[Any] = []

    def start(settings: Any) -> int:
        started.append(settings)
        return 0

    monkeypatch.setattr("scitq.node.main.run", start)

    monkeypatch.setattr("sys.argv", ["scitq-worker", "ipc:///tmp/x.sock", "4", "-b", "mine", "-n", "me"])
    assert main.worker() == 0
    words = ["-s", "ipc:///tmp/x.sock", "-C", "4", "--batch", "mine", "--name", "me"]
    assert main.run(["node", *words]) == 0
    assert main.run(["node", "--scratch", "/tmp/s", "--prefetch", "2", "--grace", "9"]) == 0

    by_place, by_name, local = started
    assert by_place == by_name
    assert by_place.server == Server(address="ipc:///tmp/x.sock")
    assert (by_place.concurrency, by_place.batch, by_place.name) == (4, "mine", "me")
    host = os.uname().nodename
    assert local.server == Server(address=f"ipc://{tmp_path}/state/scitq/{host}/run/broker.sock", local=True)
    assert (local.scratch, local.prefetch, local.grace) == (Path("/tmp/s"), 2, 9.0)
    assert (local.concurrency, local.batch) == (0, "")  # as the broker knows it


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ipc:///tmp/x", "-s", "ipc:///tmp/y"], "the server is given twice"),
        (["ipc:///tmp/x", "2", "-C", "3"], "the concurrency is given twice"),
        (["ipc:///tmp/x", "0"], "CONCURRENCY: at least 1 is needed"),
        (["-p", "-1"], "-p/--prefetch: negative number: -1"),
        (["--grace", "never"], "--grace: not a number of seconds: 'never'"),
    ],
)
def test_a_worker_that_cannot_be_is_refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["node", *words]) == 2
    assert capsys.readouterr().err.startswith(f"scitq: {told}")


def test_a_broker_listens_for_its_owner_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[Any] = []

    def start(*given: Any) -> int:
        started.append(given)
        return 0

    monkeypatch.setattr("scitq.broker.main.run", start)
    own = f"ipc://{tmp_path}/s/run/broker.sock"

    assert main.run(["broker", "--state", f"{tmp_path}/s"]) == 0
    assert main.run(["broker", "--state", f"{tmp_path}/s", "--bind", "0.0.0.0", "--grace", "60"]) == 0
    assert main.run(["broker", "--state", f"{tmp_path}/s", "--bind", own]) == 0

    state = tmp_path / "s"
    assert started == [
        (state, ("tcp://127.0.0.1:5555", own), 300.0),
        (state, ("tcp://0.0.0.0:5555", own), 60.0),
        (state, (own,), 300.0),
    ]


def test_fetch_copies_into_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")

    assert main.run(["fetch", "copy", f"{tmp_path}/a/", f"file://{tmp_path}/b"]) == 0
    assert capsys.readouterr().out.startswith("copied 1 file, 1 B in ")
    assert (tmp_path / "b" / "x").read_text() == "1"

    assert main.run(["fetch", "copy", f"{tmp_path}/none", f"{tmp_path}/b"]) == 1
    assert main.run(["fetch", "copy", f"{tmp_path}/a/x", "s4://b/c"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
