"""Workers whose disk is small: what cannot fit says so, what can waits, and what nobody needs goes."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq import wire
from tests.e2e.disks import small_disk
from tests.integration.broker_script import ScriptedBroker, scripted_broker
from tests.integration.worker import worker
from tests.servers.counting_http import CountingServer, counting_http

MIB = 1 << 20


@pytest.fixture
def source() -> Iterator[CountingServer]:
    with counting_http() as server:
        yield server


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, "12m") as disk:
        yield disk


@pytest.fixture
def broker(tmp_path: Path, scratch: Path) -> Iterator[ScriptedBroker]:
    """With a worker of four slots on the small disk."""
    with (
        scripted_broker(tmp_path, concurrency=4) as broker,
        worker(broker.address, scratch / "scratch", name="w1", concurrency=4) as agent,
    ):
        broker.joined()
        yield broker
    assert "fault of scitq" not in agent.said()


def resources(broker: ScriptedBroker) -> list[str]:
    """The last parts of the addresses of what is here."""
    broker.told.clear()
    broker.send(wire.WorkerResources(id=1, worker="w1"))
    broker.until(lambda: broker.told, "an answer")
    (answer,) = broker.told
    assert isinstance(answer, wire.ResourceList)
    return [one.uri.rpartition("/")[2] for one in answer.resources]


def test_what_cannot_fit_says_so_in_one_line_and_nothing_is_fetched(
    broker: ScriptedBroker, source: CountingServer
) -> None:
    source.files["/large"] = b"x" * (20 * MIB)

    end = broker.end_of(broker.run(1, "true", inputs=(f"{source.url}/large",)))

    assert (end.outcome.status, end.outcome.class_) == ("failed", "download")
    assert "no room: it needs 20.0 MiB, and of the 12.0 MiB of the worker's disk" in end.outcome.reason
    assert "\n" not in end.outcome.reason
    assert source.gets == {}


def test_inputs_that_fit_one_after_the_other_wait_for_each_other(
    broker: ScriptedBroker, source: CountingServer
) -> None:
    source.files["/half"] = b"x" * (7 * MIB)

    refs = [broker.run(number, "true", inputs=(f"{source.url}/half",)) for number in (1, 2, 3)]

    assert [broker.end_of(ref).outcome.reason for ref in refs] == [""] * 3


def test_the_least_recently_used_resource_goes_and_one_in_use_stays(
    broker: ScriptedBroker, source: CountingServer, tmp_path: Path
) -> None:
    for name in "abc":
        source.files[f"/{name}"] = name.encode() * (4 * MIB)
    broker.end_of(broker.run(1, "true", resources=(f"{source.url}/a",)))
    holding = broker.run(2, "sh", "-c", f"echo x > {tmp_path}/begun; exec sleep 60", resources=(f"{source.url}/a",))
    broker.written(tmp_path / "begun")
    broker.end_of(broker.run(3, "true", resources=(f"{source.url}/b",)))

    broker.end_of(broker.run(4, "true", resources=(f"{source.url}/c",)))

    assert resources(broker) == ["a", "c"]
    assert source.gets == {"/a": 1, "/b": 1, "/c": 1}
    broker.send(wire.Halt(tasks=(holding,)))
    broker.end_of(holding)


def test_what_failed_tasks_left_goes_the_oldest_first_when_room_is_needed(
    broker: ScriptedBroker, source: CountingServer, scratch: Path
) -> None:
    source.files["/x"] = b"x" * (4 * MIB)
    for number in (1, 2):
        broker.end_of(broker.run(number, "sh", "-c", f"head -c {4 * MIB} /dev/zero > left; false"))
    broker.until((scratch / "scratch/tasks/2.1/tmp/left").exists, "both are there")

    end = broker.end_of(broker.run(3, "true", inputs=(f"{source.url}/x",)))

    assert end.outcome.status == "succeeded", end.outcome
    assert not (scratch / "scratch/tasks/1.1").exists()
    assert (scratch / "scratch/tasks/2.1/tmp/left").exists()


def test_what_failed_tasks_left_is_cleaned_when_asked(broker: ScriptedBroker, scratch: Path) -> None:
    for number in (1, 2):
        broker.end_of(broker.run(number, "sh", "-c", "echo x > left; false"))
    running = broker.run(3, "sh", "-c", "echo x > left; exec sleep 60")
    broker.until((scratch / "scratch/tasks/3.1/tmp/left").exists, "the third runs")

    broker.send(wire.WorkerClean(id=9, worker="w1"))
    broker.until(lambda: broker.told, "an answer")

    (answer,) = broker.told
    assert isinstance(answer, wire.Cleaned)
    assert (answer.id, answer.folders, answer.bytes > 0) == (9, 2, True)
    assert [path.name for path in (scratch / "scratch/tasks").glob("[0-9]*") if (path / "tmp/left").exists()] == [
        "3.1"
    ]
    broker.send(wire.Halt(tasks=(running,)))
    broker.end_of(running)


def test_a_resource_that_unpacks_to_more_than_there_is_says_so_and_leaves_no_full_disk(
    broker: ScriptedBroker, source: CountingServer, scratch: Path
) -> None:
    source.files["/small"] = b"12345"
    source.files["/zeros.gz"] = gzip.compress(bytes(40 * MIB))

    bad = broker.end_of(broker.run(1, "true", resources=(f"{source.url}/zeros.gz|gunzip",)))
    good = broker.end_of(broker.run(2, "true", inputs=(f"{source.url}/small",)))

    assert (bad.outcome.class_, good.outcome.status) == ("download", "succeeded")
    assert "no room: it needs" in bad.outcome.reason
    assert resources(broker) == []


def test_tasks_that_ask_for_more_room_together_than_there_is_run_one_after_the_other(
    broker: ScriptedBroker, scratch: Path
) -> None:
    go = scratch / "go"
    held = f"until [ -e {go} ]; do sleep 0.02; done"
    first = broker.run(1, "sh", "-c", f"head -c {4 * MIB} /dev/zero > part; {held}", disk=7 * MIB)
    broker.until((scratch / "scratch/tasks/1.1/tmp/part").exists, "it writes")
    second = broker.run(2, "sh", "-c", f"head -c {6 * MIB} /dev/zero > part", disk=7 * MIB)
    other = broker.run(3, "true")

    assert broker.end_of(other).outcome.status == "succeeded"
    assert not [one for one in broker.started if one.ref == second and one.phase == "running"]
    broker.acknowledges = False  # the room is back when the command is over
    go.touch()
    assert [broker.end_of(ref).outcome.status for ref in (first, second)] == ["succeeded", "succeeded"]


def test_room_that_a_task_asked_for_takes_its_inputs_in(broker: ScriptedBroker, source: CountingServer) -> None:
    source.files["/a"] = b"x" * (5 * MIB)

    end = broker.end_of(broker.run(1, "true", inputs=(f"{source.url}/a",), disk=9 * MIB))

    assert end.outcome.status == "succeeded", end.outcome


def test_room_that_a_worker_can_never_have_is_refused_in_one_line(
    broker: ScriptedBroker, source: CountingServer
) -> None:
    source.files["/a"] = b"x"

    end = broker.end_of(broker.run(1, "true", resources=(f"{source.url}/a",), disk=40 * MIB))

    assert (end.outcome.status, end.outcome.class_) == ("failed", "download")
    assert end.outcome.reason.startswith("no room: it needs 40.0 MiB, and of the 12.0 MiB of the worker's disk")
    assert (source.heads, source.gets) == (0, {})
