"""Resources of a real agent: fetched once, resumed after a kill, changed at their source or by a task."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq import wire
from tests.integration.broker_script import ScriptedBroker, scripted_broker
from tests.integration.worker import Worker, worker
from tests.servers.counting_http import CountingServer, counting_http

TASKS = 50


@pytest.fixture
def source() -> Iterator[CountingServer]:
    with counting_http() as server:
        yield server


def printed(broker: ScriptedBroker, ref: wire.Ref) -> bytes:
    """All that the attempt wrote, with its end or before."""
    return broker.end_of(ref).stdout or broker.text(ref)


def archive(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def test_fifty_tasks_at_once_fetch_and_unpack_it_once(tmp_path: Path, source: CountingServer) -> None:
    source.files["/db.tgz"] = archive(index=b"i" * 1000, data=b"d" * 100_000)
    uri = f"{source.url}/db.tgz|untar"
    command = ("sh", "-c", "stat -c %i $RESOURCE/data; ls $RESOURCE")

    with (
        scripted_broker(tmp_path, concurrency=TASKS) as broker,
        worker(broker.address, tmp_path / "scratch", name="w1", concurrency=TASKS),
    ):
        broker.joined()
        refs = [broker.run(number, *command, resources=(uri,)) for number in range(1, TASKS + 1)]
        ends = [broker.end_of(ref) for ref in refs]
        seen = {printed(broker, ref) for ref in refs}

    assert {end.outcome.status for end in ends} == {"succeeded"}
    assert len(seen) == 1, "all see the same file"
    assert seen.pop().split()[1:] == [b"data", b"index"]
    assert source.gets == {"/db.tgz": 1}
    assert sorted(end.outcome.bytes_in for end in ends)[-2:] == [0, len(source.files["/db.tgz"])]
    assert {end.outcome.versions[uri] for end in ends} == {ends[0].outcome.versions[uri]}


def test_after_a_kill_of_the_agent_it_is_gone_on_with(
    broker: ScriptedBroker, agent: Worker, source: CountingServer, tmp_path: Path
) -> None:
    size = 4 << 20
    source.files["/db"] = os.urandom(size)
    source.slow_after = size * 3 // 4
    broker.run(1, "true", resources=(f"{source.url}/db",))
    coming = tmp_path / "scratch/resources"
    broker.until(lambda: list(coming.glob("*.coming/.fetch-*/files/.fetch-*.json")), "what came is noted")
    agent.kill()
    before, source.slow_after = source.sent, None
    agent.start()
    broker.until(lambda: len(broker.hellos) == 2, "the agent is back")

    end = broker.end_of(
        broker.run(1, "sh", "-c", "sha256sum < $RESOURCE/db", attempt=2, resources=(f"{source.url}/db",))
    )

    assert end.outcome.status == "succeeded", end.outcome
    assert source.sent - before < size // 2
    assert end.outcome.bytes_in < size // 2
    assert len(list(coming.iterdir())) == 2  # the index and the resource


def test_a_changed_source_is_fetched_again_under_nobodys_feet(
    broker: ScriptedBroker, agent: Worker, source: CountingServer, tmp_path: Path
) -> None:
    source.files["/db"] = b"old"
    uri = f"{source.url}/db"
    go_on = tmp_path / "go_on"
    os.mkfifo(go_on)
    script = f"cat $RESOURCE/db; echo begun > {tmp_path}/begun; cat {go_on}; cat $RESOURCE/db"
    first = broker.run(1, "sh", "-c", script, resources=(uri,))
    broker.written(tmp_path / "begun")
    source.files["/db"], source.etags["/db"] = b"newer", '"2"'
    agent.kill()  # whose successor asks the source anew
    agent.start()
    broker.until(lambda: len(broker.hellos) == 2, "the agent is back")

    second = broker.end_of(broker.run(2, "sh", "-c", "cat $RESOURCE/db", resources=(uri,)))
    go_on.write_text("now ")

    assert second.stdout == b"newer"
    assert printed(broker, first) == b"oldnow old"


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount is for root to make")
def test_not_even_root_writes_to_a_resource_or_removes_it(
    broker: ScriptedBroker, agent: Worker, source: CountingServer
) -> None:
    source.files["/db"] = b"good"
    uri = f"{source.url}/db"
    script = """
        chmod u+w $RESOURCE/db; echo bad > $RESOURCE/db; rm -f $RESOURCE/db; touch $RESOURCE/new
        echo bad > $(echo ../../../resources/*.*[0-9])/db; ln $RESOURCE/db db
        cat $RESOURCE/db; echo mine > $OUTPUT/x; cat $OUTPUT/x
    """

    first = broker.end_of(broker.run(1, "sh", "-c", script, resources=(uri,)))
    second = broker.end_of(broker.run(2, "sh", "-c", "cat $RESOURCE/db", resources=(uri,)))

    assert (first.stdout, first.outcome.reason) == (b"goodmine\n", ""), first
    assert first.stderr.count(b"Read-only file system") == 5
    assert first.stderr.count(b"Invalid cross-device link") == 1
    assert (second.stdout, source.gets) == (b"good", {"/db": 1})
    assert str(agent.scratch) not in Path("/proc/mounts").read_text()


def test_what_a_task_does_to_a_resource_is_told_and_undone(
    broker: ScriptedBroker, agent: Worker, source: CountingServer
) -> None:
    """Root has to take the mount away first."""
    source.files["/db"] = b"good"
    uri = f"{source.url}/db"
    script = "umount $RESOURCE; chmod u+w $RESOURCE/db && echo bad > $RESOURCE/db"

    first = broker.end_of(broker.run(1, "sh", "-c", script, resources=(uri,)))
    second = broker.end_of(broker.run(2, "sh", "-c", "cat $RESOURCE/db", resources=(uri,)))

    assert first.outcome.status == "succeeded", first
    assert first.outcome.reason == f"{uri} was changed while it ran: it is fetched again for the next task"
    assert (second.stdout, second.outcome.reason) == (b"good", "")
    assert source.gets == {"/db": 2}


def test_the_worker_tells_its_resources(broker: ScriptedBroker, agent: Worker, source: CountingServer) -> None:
    source.files["/db"] = b"12345"
    broker.end_of(broker.run(1, "true", resources=(f"{source.url}/db",)))

    broker.send(wire.WorkerResources(id=7, worker="w1"))
    broker.until(lambda: broker.told, "an answer")

    (answer,) = broker.told
    assert isinstance(answer, wire.ResourceList)
    assert (answer.id, [(one.uri, one.size, one.files) for one in answer.resources]) == (
        *(7, [(f"{source.url}/db", 5, 1)]),
    )
