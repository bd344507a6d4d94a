"""What each method asks, and what it makes of the answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scitq import wire
from scitq.client import Client, Select
from scitq.config import Server
from scitq.errors import BadMessage, Conflict, NotFound, TooLarge, UsageError
from scitq.model import Array, Batch, Changes, Range, Spec
from tests.unit.client.scripted import Script, ScriptedBroker, scripted


class Scene:
    """A client of a scripted broker, and the lines it gave its user."""

    def __init__(self, broker: ScriptedBroker) -> None:
        self.broker = broker
        self.lines: list[str] = []
        self.client = Client(Server(address=broker.address), notice=self.lines.append)
        assert isinstance(broker.heard.get(timeout=5), wire.Hello)

    def heard(self) -> Any:
        return self.broker.heard.get(timeout=5)


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    script: Script = request.param
    with scripted(f"ipc://{tmp_path}/s", script) as broker:
        scene = Scene(broker)
        with scene.client:
            yield scene


def says(*answers: wire.Message) -> pytest.MarkDecorator:
    """A scene whose broker answers everything but `hello` with these."""

    def script(request: Any) -> list[wire.Message]:
        return [] if isinstance(request, wire.Hello) else list(answers)

    return pytest.mark.parametrize("scene", [script], indirect=True)


def keeping(request: Any) -> list[wire.Message]:
    if not isinstance(request, wire.Submit):
        return []
    if not request.last:
        return [wire.PartKept(id=0, part=request.part)]
    return [wire.Submitted(id=0, first=11, count=2 * wire.PART_LIMIT + 1, warnings=("nobody serves it",))]


@says(wire.Submitted(id=0, first=5, count=1))
def test_submit(scene: Scene) -> None:
    assert scene.client.submit(["echo", "a b"], batch="b", retry=1, request_id="mine") == 5
    asked = scene.heard()
    assert (asked.request, asked.part, asked.last) == ("mine", 0, True)
    assert [wire.unpack_spec(raw) for raw in asked.specs] == [Spec(command=("echo", "a b"), batch="b", retry=1)]


@pytest.mark.parametrize("scene", [keeping], indirect=True)
def test_many_travel_in_parts_under_one_request(scene: Scene) -> None:
    count = 2 * wire.PART_LIMIT + 1
    assert scene.client.submit_many(["true"] for _ in range(count)) == range(11, 11 + count)
    parts = [scene.heard() for _ in range(3)]
    assert [(each.part, each.last, len(each.specs)) for each in parts] == [
        (0, False, wire.PART_LIMIT),
        (1, False, wire.PART_LIMIT),
        (2, True, 1),
    ]
    assert len({each.request for each in parts}) == 1
    assert scene.lines == ["nobody serves it"]
    assert len(scene.client.submit_many([])) == 0


@says(wire.Submitted(id=0, first=1, count=3))
def test_an_array_is_one_message(scene: Scene) -> None:
    ids = scene.client.submit_array({"command": ["echo", "{n}"]}, 3, {"n": range(3)})
    assert ids == range(1, 4)
    assert scene.heard().array == Array(template=Spec(command=("echo", "{n}")), count=3, columns={"n": Range(0, 1)})


@says(wire.Submitted(id=0, first=1, count=1))
def test_what_is_too_large_is_not_sent(scene: Scene) -> None:
    with pytest.raises(TooLarge):
        scene.client.submit(["x" * wire.MESSAGE_LIMIT])
    scene.client.submit(["small"])
    assert len(scene.heard().specs[0]) < 100


@says(wire.Error(id=0, error={"code": "conflict", "message": "task 3 is running"}))
def test_an_error_answer_is_raised_as_its_class(scene: Scene) -> None:
    with pytest.raises(Conflict, match="task 3 is running"):
        scene.client.delete(3)
    with pytest.raises(Conflict):
        scene.client.wait(3)


@says(wire.Done(id=0))
def test_an_answer_of_another_kind_is_said(scene: Scene) -> None:
    with pytest.raises(BadMessage, match="answered with Done where StatusIs"):
        scene.client.status()


@says(
    wire.Changed(
        id=0,
        changes=(
            wire.Change(1, 1, "running"),
            wire.Change(2, 1, "failed", "exit", 3, "exit code 3", "w"),
            wire.Change(9, 0, "deleted"),
        ),
    ),
    wire.Changed(id=0, changes=(wire.Change(1, 2, "succeeded", "", 0),)),
    wire.FollowEnd(id=0, ends=(wire.Ended(1, 2, "succeeded", "", 0, ""),)),
)
def test_wait_gives_the_ends_in_the_order_asked(scene: Scene) -> None:
    assert scene.client.wait([2, 1]) == [
        wire.Ended(2, 1, "failed", "exit", 3, "exit code 3"),
        wire.Ended(1, 2, "succeeded", "", 0, ""),
    ]
    assert scene.heard() == wire.Follow(id=1, tasks=(2, 1), ends_only=True)
    assert scene.heard() == wire.Unfollow(id=2, follow=1)
    with pytest.raises(NotFound, match="there is no task 9"):
        scene.client.wait([1, 9])
    assert [end.task for end in scene.client.wait_batch("b")] == [1, 2]
    assert [change.status for change in scene.client.changes(1)] == ["running", "failed", "deleted", "succeeded"]


@says()
def test_wait_ends_with_its_time(scene: Scene) -> None:
    with pytest.raises(TimeoutError, match="2 of 2 tasks have not ended"):
        scene.client.wait([1, 2], timeout=0.05)


@says(
    wire.OutputPart(id=0, task=1, attempt=2, stream="stdout", offset=0, data=b"a\n", next=2),
    wire.OutputPart(id=0, task=1, attempt=2, stream="stderr", offset=7, data=b"b", next=8, gap=7, note="cut"),
    wire.OutputPart(id=0, task=1, attempt=2, stream="stdout", offset=2, data=b"", next=2, end=True),
    wire.FollowEnd(id=0),
)
def test_followed_output(scene: Scene) -> None:
    assert list(scene.client.output(1, follow=True)) == [("stdout", b"a\n"), ("stderr", b"b")]
    assert [part.gap for part in scene.client.output_parts(1, follow=True, stream="stderr")] == [7]


class Flood:
    """Sends what credit allows of `size` bytes, as a broker does."""

    size = 3 * wire.FOLLOW_CREDIT

    def __init__(self) -> None:
        self.at = 0
        self.follow = 0

    def __call__(self, request: Any) -> list[wire.Message]:
        if isinstance(request, wire.FollowOutput):
            self.follow = request.id
            return list(self.parts(wire.FOLLOW_CREDIT))
        if isinstance(request, wire.Credit):
            assert request.follow == self.follow
            return list(self.parts(request.bytes))
        return []

    def parts(self, credit: int) -> Iterator[wire.Message]:
        until = min(self.at + credit, self.size)
        while self.at < until:
            data = bytes(min(100_000, until - self.at))
            next_at = self.at + len(data)
            yield wire.OutputPart(
                id=self.follow, task=1, attempt=1, stream="stdout", offset=self.at, data=data, next=next_at
            )
            self.at = next_at
        if self.at == self.size:
            yield wire.FollowEnd(id=self.follow)


@pytest.mark.parametrize("scene", [Flood()], indirect=True)
def test_credit_is_granted_as_output_is_consumed(scene: Scene) -> None:
    assert sum(len(data) for _, data in scene.client.output(1, follow=True)) == 3 * wire.FOLLOW_CREDIT
    assert isinstance(scene.heard(), wire.FollowOutput)
    granted = 0
    while isinstance(message := scene.heard(), wire.Credit):
        granted += message.bytes
    assert 2 * wire.FOLLOW_CREDIT <= granted <= 3 * wire.FOLLOW_CREDIT


def stored(request: Any) -> list[wire.Message]:
    if not isinstance(request, wire.Output):
        return []
    whole = {"stdout": b"0123456789", "stderr": b"err"}[request.stream]
    data = whole[request.offset : request.offset + 4]
    at = request.offset + len(data)
    return [
        wire.OutputPart(
            id=0,
            task=1,
            attempt=3,
            stream=request.stream,
            offset=request.offset,
            data=data,
            next=at,
            end=request.stream == "stdout" and at == len(whole),
        )
    ]


@pytest.mark.parametrize("scene", [stored], indirect=True)
def test_kept_output_is_read_to_what_is_there(scene: Scene) -> None:
    assert list(scene.client.output(1)) == [
        ("stdout", b"0123"),
        ("stdout", b"4567"),
        ("stdout", b"89"),
        ("stderr", b"err"),
    ]
    assert [scene.heard().attempt for _ in range(2)] == [0, 3]  # later pages are of the attempt first seen


def paging(request: Any) -> list[wire.Message]:
    if not isinstance(request, wire.Batches):
        return []
    counts = dict.fromkeys(Batch.__struct_fields__[2:], 0)
    after = {"": "a", "a": "b", "b": None}[request.after]
    row = Batch(name=request.after + "+", stopped="", **counts)
    return [wire.BatchPage(id=0, batches=(row,), next=after)]


@pytest.mark.parametrize("scene", [paging], indirect=True)
def test_pages_are_read_to_the_end(scene: Scene) -> None:
    assert [batch.name for batch in scene.client.batches()] == ["+", "a+", "b+"]


@says(wire.Done(id=0, count=2, skipped=(wire.Skipped(4, "ended"),), missing=("w",)))
def test_orders(scene: Scene) -> None:
    client = scene.client
    done = client.cancel(range(1, 100_002))
    assert (done.count, len(done.skipped), done.missing) == (4, 2, ("w",))
    assert [len(scene.heard().select.ids) for _ in range(2)] == [100_000, 1]
    client.relaunch(3, command=["x"], uid=None)
    heard = scene.heard()
    assert isinstance(heard, wire.Relaunch)
    assert heard.request  # so that it can be sent again
    assert (heard.select, heard.changes) == (Select(ids=(3,)), Changes(command=("x",), uid=None))
    client.update(Select(batch="b"), priority=4)
    assert scene.heard() == wire.Update(id=4, select=Select(batch="b"), changes=Changes(priority=4))
    client.delete([5], force=True)
    assert scene.heard() == wire.Delete(id=5, select=Select(ids=(5,)), force=True)
    client.batch_stop("b", "kill")
    assert scene.heard() == wire.BatchStop(id=6, batch="b", how="kill")
    client.worker_update("w", concurrency=3)
    assert scene.heard() == wire.WorkerUpdate(id=7, worker="w", concurrency=3)
    with pytest.raises(UsageError, match="unknown option 'colour'"):
        client.update(1, colour="red")


@says(wire.AccessKeys(id=0, server_key="S" * 40))
def test_a_key_is_made_here_and_only_its_public_half_is_sent(scene: Scene) -> None:
    file = scene.client.access_create("alice", "user", address="lab")
    asked = scene.heard()
    assert (asked.name, asked.role, asked.key) == ("alice", "user", file.public_key)
    assert (file.address, file.server_key, len(file.secret_key)) == ("tcp://lab:5555", "S" * 40, 40)
    with pytest.raises(UsageError, match="keys are for tcp"):
        scene.client.access_create("bob", "user")
