"""Whole brokers on states that were cut, or of which a byte changed: all is there, or it is said where not."""

import os
import random
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import pytest

from scitq.broker import segments
from scitq.broker.frames import FRAME_BYTES
from scitq.client import Client
from tests.e2e.disks import broker_on
from tests.integration.mesh import BrokerProcess, until
from tests.integration.test_broker import ModelWorker
from tests.journal.kit import flip, last_segment

TASKS = 12


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """The state that a killed broker left, of TASKS tasks in a round each."""
    with broker_on(tmp_path, tmp_path / "state") as process:
        with process.client() as client:
            for _ in range(TASKS):
                client.submit(["true"])
        process.kill()
    return process.state


class Found(NamedTuple):
    """What a broker that was started on a state has of it; no `tasks` when it refused to start."""

    tasks: dict[int, str] | None  # their states
    damaged: set[int]  # tasks of whose output it says so; that of all others is as it was written
    said: str


def started_on(folder: Path, state: Path) -> Found:
    """Start a broker, look at everything, end it."""
    folder.mkdir(mode=0o700)
    process = BrokerProcess(folder)
    process.state = state
    tasks: dict[int, str] | None = None
    damaged: set[int] = set()
    try:
        process.start()
    except AssertionError:  # it did not say that it is ready
        pass
    else:
        with process.client() as client:
            tasks = {task.id: task.status for task in client.tasks()}
            ended = [task for task, status in tasks.items() if status == "succeeded"]
            damaged = {task for task in ended if not has_output(client, task)}
    finally:
        process.end()
    assert "Traceback" not in process.said()
    return Found(tasks, damaged, process.said())


def has_output(client: Client, task: int) -> bool:
    """Whether the output of an ended task is whole; what is missing must be counted, and the place be named."""
    parts = list(client.output_parts(task, stream="stdout"))
    data = b"".join(part.data for part in parts)
    if data == line_of(task):
        return True
    assert (data, sum(part.gap for part in parts)) == (b"", len(line_of(task)))
    assert "stored output is damaged" in parts[-1].note
    assert "logs/" in parts[-1].note
    return False


def line_of(task: int) -> bytes:
    return b"what task %d wrote\n" % task


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=[pytest.mark.proof, pytest.mark.timeout(600)])])
def test_a_journal_cut_in_its_last_frames_starts_with_all_before(tmp_path: Path, left: Path, step: int) -> None:
    frames = [frame for source in segments.read_chain(left / "journal").sources for frame in source.frames()]
    begin = frames[-2].offset
    end = frames[-1].offset + FRAME_BYTES + len(frames[-1].body)
    for number, cut in enumerate(range(end, begin, -step)):
        state = tmp_path / f"state-{number}"
        shutil.copytree(left, state)
        os.truncate(last_segment(state / "journal"), cut)
        found, _, said = started_on(tmp_path / f"broker-{number}", state)
        whole = TASKS - (cut < end) - (cut < frames[-1].offset)
        assert found is not None, (cut, said)
        assert list(found) == list(range(1, whole + 1)), (cut, said)
        torn = cut not in (end, frames[-1].offset)
        assert ("was torn by a crash" in said) == torn, (cut, said)
        shutil.rmtree(state)


@pytest.mark.parametrize("count", [10, pytest.param(300, marks=[pytest.mark.proof, pytest.mark.timeout(600)])])
def test_a_byte_changed_anywhere_is_a_torn_end_or_located(tmp_path: Path, left: Path, count: int) -> None:
    chosen = random.Random(count)
    used = max(
        frame.offset + 200 for source in segments.read_chain(left / "journal").sources for frame in source.frames()
    )
    for number in range(count):
        state = tmp_path / f"state-{number}"
        shutil.copytree(left, state)
        place = chosen.randrange(used)
        flip(last_segment(state / "journal"), place)
        found, _, said = started_on(tmp_path / f"broker-{number}", state)
        if found is None:
            assert f"{last_segment(state / 'journal')} is damaged at offset" in said, (place, said)
            assert "scitq broker repair" in said
        else:
            assert list(found) in (list(range(1, TASKS + 1)), list(range(1, TASKS))), (place, said)
            assert len(found) == TASKS or "was torn by a crash" in said, (place, said)
        shutil.rmtree(state)


# ---------------------------------------------------------------------------- a state that has lived


STARTS = 10  # each leaves a segment; so many are folded into a snapshot
LAST = 2 * STARTS + 1  # the task of the last round


@pytest.fixture
def lived(tmp_path: Path) -> Path:
    """What a killed broker left that was started often: a snapshot, segments, output; two ended tasks a start."""
    with broker_on(tmp_path, tmp_path / "state") as process:
        for start in range(STARTS):
            if start:
                assert process.kill(signal.SIGTERM) == 0
                process.start()
            with process.client() as client, ModelWorker(process.address) as hand:
                hand.join(concurrency=2)
                ids = client.submit_many([{"command": ["true"]}] * 2)
                for ref in hand.refs(2):
                    hand.end(ref, line_of(ref.task))
                client.wait(ids)
        until(lambda: list((process.state / "journal").glob("0*.snapshot")), "a compaction")
        assert process.kill(signal.SIGTERM) == 0
        process.start()
        with process.client() as client:
            client.submit(["true"], batch="without a worker")
        process.kill()
    return process.state


@pytest.mark.parametrize("count", [10, pytest.param(300, marks=[pytest.mark.proof, pytest.mark.timeout(900)])])
def test_a_byte_changed_in_any_file_of_a_state_that_has_lived_is_said_with_its_place(
    tmp_path: Path, lived: Path, count: int
) -> None:
    chosen = random.Random(count)
    everything = dict.fromkeys(range(1, 2 * STARTS + 1), "succeeded") | {LAST: "pending"}
    names = sorted(
        path.relative_to(lived)
        for folder in ("journal", "logs")
        for path in (lived / folder).iterdir()
        if path.read_bytes().rstrip(b"\0")
    )
    assert {name.suffix for name in names} == {".snapshot", ".journal", ".log"}
    for number in range(count):
        state, folder = tmp_path / f"state-{number}", tmp_path / f"broker-{number}"
        shutil.copytree(lived, state)
        path = state / names[number % len(names)]
        place = chosen.randrange(len(path.read_bytes().rstrip(b"\0")))
        flip(path, place)
        found, damaged, said = started_on(folder, state)
        if found is None:
            assert f"{path} is damaged at offset" in said, (path, place, said)
            assert "scitq broker repair" in said
            assert path.suffix != ".log"
        else:
            assert len(damaged) <= (path.suffix == ".log"), (path, place)
            if path.name == last_segment(lived / "journal").name and "was torn by a crash" in said:
                found.setdefault(LAST, "pending")
            assert found == everything, (path, place, said)
        shutil.rmtree(state)
