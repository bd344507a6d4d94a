"""How far a worker is: asked only of tasks that may be on their way, and never an error."""

from pathlib import Path
from typing import Any

import pytest

from scitq import wire
from scitq.client import Client, client
from scitq.config import Server
from scitq.model import Task
from tests.unit.client.scripted import scripted


def task(status: str) -> Task:
    known: dict[str, Any] = dict.fromkeys(Task.__struct_fields__) | {"id": 3, "status": status, "worker": "w1"}
    return Task(**known)


def told(folder: Path, status: str, *answers: wire.Message) -> tuple[list[str] | None, list[Any]]:
    """What the client makes of these answers, and what it asked."""

    def script(request: Any) -> list[wire.Message]:
        return [] if isinstance(request, wire.Hello) else list(answers)

    with scripted(f"ipc://{folder}/s", script) as broker, Client(Server(address=broker.address)) as one:
        lines = one.progress(task(status))
        return lines, list(broker.heard.queue)[1:]


def test_the_worker_of_a_task_is_asked_by_its_name(tmp_path: Path) -> None:
    lines, (asked,) = told(tmp_path, "staging", wire.ProgressIs(id=0, lines=("image a: 1 of 2 layers",)))
    assert lines == ["image a: 1 of 2 layers"]
    assert (type(asked), asked.worker, asked.task) == (wire.WorkerProgress, "w1", 3)


@pytest.mark.parametrize("status", ["pending", "running", "succeeded"])
def test_of_other_tasks_nobody_is_asked(tmp_path: Path, status: str) -> None:
    assert told(tmp_path, status) == ([], [])


def test_a_worker_that_is_away_or_silent_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = wire.Error(id=0, error={"code": "unavailable", "message": "worker w1 is offline"})
    assert told(tmp_path, "uploading", away)[0] is None
    monkeypatch.setattr(client, "_PROGRESS_S", 0.05)
    assert told(tmp_path, "staging")[0] is None
