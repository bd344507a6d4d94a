"""The Python client with a real broker and worker, over the deaths of the broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq import wire
from scitq.client import Client, Select
from scitq.errors import NotFound
from tests.integration.mesh import BrokerProcess, broker, until
from tests.integration.worker import worker


@pytest.fixture
def process(tmp_path: Path) -> Iterator[BrokerProcess]:
    with broker(tmp_path) as process:
        yield process


@pytest.fixture
def client(process: BrokerProcess) -> Iterator[Client]:
    with process.client() as client:
        yield client


@pytest.fixture
def working(process: BrokerProcess, client: Client, tmp_path: Path) -> Iterator[None]:
    """A worker is there."""
    with worker(process.address, tmp_path / "scratch", name="w", concurrency=2):
        until(client.workers, "a worker")
        yield


@pytest.mark.usefixtures("working")
def test_a_command_runs_and_its_end_and_output_are_read(client: Client) -> None:
    task = client.submit(["sh", "-c", 'printf "%s" "$0$A"; echo err >&2; exit 4', b"\xff'"], env={"A": "é"}, retry=1)
    assert client.wait(task) == [wire.Ended(task, 2, "failed", "exit", 4, "exit code 4")]
    for attempt in (0, 1, 2):
        assert list(client.output(task, attempt=attempt)) == [("stdout", b"\xff'\xc3\xa9"), ("stderr", b"err\n")]
    assert [(each.attempt, each.exit_code) for each in client.attempts(task)] == [(1, 4), (2, 4)]
    assert client.relaunch(task, command=["true"]).count == 1
    assert client.wait(task)[0].status == "succeeded"


@pytest.mark.usefixtures("working")
def test_output_is_followed_over_the_death_of_the_broker(client: Client, process: BrokerProcess) -> None:
    task = client.submit(["sh", "-c", "for i in $(seq 20); do echo $i; sleep 0.05; done"])
    output = b""
    for _, data in client.output(task, follow=True):
        if not output:
            process.kill()
            process.start()
        output += data
    assert output == b"".join(b"%d\n" % number for number in range(1, 21))
    assert client.wait(task)[0].status == "succeeded"


@pytest.mark.usefixtures("working")
def test_wait_goes_on_over_the_death_of_the_broker(client: Client, process: BrokerProcess, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    tasks = client.submit_many([["true"], ["sh", "-c", f"until [ -e {gate} ]; do sleep 0.02; done"]])
    for change in client.changes(tasks[1]):
        if change.status == "running":
            break
    process.kill()
    process.start()
    gate.touch()
    assert [end.status for end in client.wait(tasks)] == ["succeeded", "succeeded"]


def test_the_same_request_gives_the_same_ids(client: Client, process: BrokerProcess) -> None:
    many = [["true"]] * (wire.PART_LIMIT + 1)
    first = client.submit_many(many, request_id="mine")
    assert first == range(1, wire.PART_LIMIT + 2)
    process.kill()
    process.start()
    assert client.submit_many(many, request_id="mine") == first
    assert client.submit(["true"]) == first.stop


def test_lists_and_orders_reach_past_one_page(client: Client) -> None:
    count = 2 * wire.PAGE_LIMIT + 1
    tasks = client.submit_array(["echo", "{n}"], count, {"n": range(100, 100 + count)})
    listed = list(client.tasks(batch="Default", status="pending"))
    assert [task.id for task in listed] == list(tasks)
    assert listed[-1].command == ("echo", str(99 + count))
    assert [task.id for task in client.tasks([3, 1])] == [1, 3]
    assert client.cancel(Select(batch="Default")).count == count
    assert {end.status for end in client.wait(tasks)} == {"cancelled"}
    assert client.delete(tasks).count == count
    assert list(client.tasks()) == []


def test_wait_names_a_task_that_is_not_there_and_ends_with_its_time(client: Client) -> None:
    task = client.submit(["true"])
    with pytest.raises(TimeoutError, match="1 of 1"):
        client.wait(task, timeout=0.1)
    with pytest.raises(NotFound, match="no task 99"):
        client.wait(99)
