"""What must be true when the dust has settled, read from the books, the witness and the ledgers."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scitq.client import Client
from tests.e2e.chaos.ledger import Ledger
from tests.sources import ROOT


def witnessed(folder: Path) -> list[str]:
    """`<task>.<attempt>` of every side effect, in their order."""
    witness = folder / "witness"
    return [line.rpartition("/")[2] for line in witness.read_text().splitlines()] if witness.exists() else []


def acknowledged(folder: Path) -> list[int]:
    """Every task of which a client was told, request by request."""
    ledgers = [Ledger(path) for path in sorted(folder.glob("*.ledger"))]
    assert all(ledger.open is None for ledger in ledgers)
    return [task for ledger in ledgers for ids in ledger.told.values() for task in ids]


def check_effects(client: Client, folder: Path, tasks: Iterable[int]) -> None:
    """Each task has succeeded; its believed attempt had its effect, no attempt had it twice, nobody else had any."""
    names = Counter(witnessed(folder))
    assert {name: times for name, times in names.items() if times > 1} == {}
    believed = {task.id: task for task in client.tasks()}
    wanted = set(tasks)
    assert {*believed} - wanted == set(), "tasks that nobody was told of"
    assert wanted - {*believed} == set(), "tasks that were acknowledged and are not there"
    assert {task.id: task for task in believed.values() if task.status != "succeeded"} == {}
    for task in believed.values():
        assert f"{task.id}.{task.attempt}" in names, f"task {task.id} had no effect as attempt {task.attempt}"
        written = b"".join(data for _, data in client.output(task.id))
        assert written.endswith(f"/{task.id}.{task.attempt}\n".encode()), f"task {task.id} wrote {written!r}"
    assert {int(name.partition(".")[0]) for name in names} <= set(believed)


def told(state: Path, fact: str) -> list[dict[str, Any]]:
    """Every fact of this kind in the journal."""
    entries = map(json.loads, _broker("journal", state).stdout.splitlines())
    return [event for entry in entries for event in entry["events"] if event["event"] == fact]


def check_books(state: Path, tasks: Iterable[int]) -> None:
    """`scitq broker check` finds the state sound, and its journal, folded or not, ends each task once."""
    assert _broker("check", state).returncode == 0
    ends = Counter(event["task"] for event in told(state, "Ended") if not event["again"])
    for event in told(state, "EndsFolded"):
        ends.update(event["tasks"])
    assert {task: times for task, times in ends.items() if times > 1} == {}
    assert sorted(ends) == sorted(tasks)


def _broker(verb: str, state: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "scitq", "broker", verb, "--state", str(state)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done
