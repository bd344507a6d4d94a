"""A broker that goes away and comes back: what is not over is asked again."""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scitq import wire
from scitq.client import Client
from scitq.client.connection import Connection
from scitq.client.follow import follow_to_ends
from scitq.config import Server
from scitq.errors import Conflict, NoServer
from tests.unit.client.scripted import WELCOME, Script, ScriptedBroker, silent


class Life:
    """One broker after another at one address: each hears a message of a kind, and is gone."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.now: ScriptedBroker | None = None

    def start(self, script: Script = silent) -> ScriptedBroker:
        self.now = ScriptedBroker(self.address, script, None)
        return self.now

    def stop(self) -> None:
        if self.now is not None:
            self.now.close()
            self.now = None


@pytest.fixture
def life(tmp_path: Path) -> Any:
    life = Life(f"ipc://{tmp_path}/s")
    yield life
    life.stop()


class Known(dict[int, wire.Ended]):
    """Ends, and an event once there is one."""

    def __init__(self) -> None:
        self.first = threading.Event()

    def __setitem__(self, task: int, end: wire.Ended) -> None:
        super().__setitem__(task, end)
        self.first.set()


def client(life: Life, timeout: float = 5, notice: Callable[[str], None] = pytest.fail) -> Client:
    return Client(Server(address=life.address), timeout=timeout, notice=notice)


def replaced_when_heard(life: Life, kind: type, script: Script) -> Any:
    """A thread that replaces the broker by one that plays `script`, once it heard such a message."""
    first = life.now
    assert first is not None

    def replace() -> None:
        while not isinstance(first.heard.get(timeout=10), kind):
            pass
        life.stop()
        life.start(script)

    thread = threading.Thread(target=replace)
    thread.start()
    return thread


def test_a_request_without_an_answer_is_asked_again_the_same(life: Life) -> None:
    life.start()
    with client(life) as asking:

        def script(request: Any) -> list[wire.Message]:
            return [wire.Submitted(id=0, first=8, count=1)] if isinstance(request, wire.Submit) else []

        swap = replaced_when_heard(life, wire.Submit, script)
        assert asking.submit(["true"], request_id="once") == 8
        swap.join()
        assert life.now is not None
        hello, again = life.now.heard.get(timeout=5), life.now.heard.get(timeout=5)
    assert isinstance(hello, wire.Hello)
    assert (again.request, again.part) == ("once", 0)


def test_followed_output_goes_on_at_its_offset_in_its_attempt(life: Life) -> None:
    def first(request: Any) -> list[wire.Message]:
        if not isinstance(request, wire.FollowOutput):
            return []
        return [wire.OutputPart(id=0, task=1, attempt=4, stream="stdout", offset=0, data=b"one", next=3)]

    def second(request: Any) -> list[wire.Message]:
        if not isinstance(request, wire.FollowOutput):
            return []
        rest = wire.OutputPart(id=0, task=1, attempt=4, stream="stdout", offset=3, data=b"two", next=6)
        return [rest, wire.FollowEnd(id=0)]

    life.start(first)
    with client(life) as asking:
        output = asking.output(1, follow=True)
        assert next(output) == ("stdout", b"one")
        life.stop()
        life.start(second)
        assert list(output) == [("stdout", b"two")]
        assert life.now is not None
        life.now.heard.get(timeout=5)
        assert life.now.heard.get(timeout=5) == wire.FollowOutput(id=1, task=1, attempt=4, stdout=3)


def test_wait_asks_again_only_for_what_it_does_not_know(life: Life) -> None:
    def first(request: Any) -> list[wire.Message]:
        if not isinstance(request, wire.Follow):
            return []
        return [wire.Changed(id=0, changes=(wire.Change(1, 1, "succeeded"),))]

    def second(request: Any) -> list[wire.Message]:
        if not isinstance(request, wire.Follow):
            return []
        return [wire.Changed(id=0, changes=(wire.Change(2, 1, "failed"),)), wire.FollowEnd(id=0)]

    known = Known()
    life.start(first)
    link = Connection(Server(address=life.address), 5, pytest.fail)
    waiting = threading.Thread(target=follow_to_ends, args=(link, (1, 2), known, math.inf))
    waiting.start()
    assert known.first.wait(5)
    life.stop()
    broker = life.start(second)
    waiting.join()
    link.close()
    assert [(end.task, end.status) for end in known.values()] == [(1, "succeeded"), (2, "failed")]
    assert isinstance(broker.heard.get(timeout=5), wire.Hello)
    assert broker.heard.get(timeout=5).tasks == (2,)


def test_a_request_fails_in_time_and_the_client_lives_on(life: Life) -> None:
    life.start()
    with client(life, timeout=0.2) as asking:
        life.stop()
        with pytest.raises(NoServer):
            asking.status()
        life.start(lambda request: [wire.Explained(id=0, lines=("x",))] if isinstance(request, wire.Explain) else [])
        assert asking.explain(1) == ["x"]


def test_a_wait_outlasts_a_broker_that_is_long_away_and_says_so(life: Life) -> None:
    def script(request: Any) -> list[wire.Message]:
        told = wire.Changed(id=0, changes=(wire.Change(1, 1, "succeeded"),))
        return [told, wire.FollowEnd(id=0)] if isinstance(request, wire.Follow) else []

    lines = []

    def notice(line: str) -> None:
        lines.append(line)
        if "away" in line:
            life.start(script)

    life.start()
    with client(life, timeout=0.2, notice=notice) as asking:
        life.stop()
        assert asking.wait(1)[0].status == "succeeded"
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["it", "back"]


def test_another_mesh_at_the_same_address_is_not_taken_for_the_one_known(life: Life) -> None:
    life.start()
    with client(life) as asking:
        life.stop()
        other = wire.Welcome(id=0, protocol=wire.PROTOCOL, mesh="other", epoch=1, version="0", role="admin")
        assert other != WELCOME
        life.start(lambda request: [other])
        with pytest.raises(Conflict, match="another mesh answers"):
            asking.status()


def test_no_message_reaches_a_new_broker_before_hello(life: Life) -> None:
    life.start()
    with client(life) as asking:
        for _ in range(5):
            life.stop()
            broker = life.start(lambda request: [wire.Done(id=0)] if isinstance(request, wire.BatchGo) else [])
            asking.batch_go("b")  # the client has not looked at its connection since
            assert [type(broker.heard.get(timeout=5)) for _ in range(2)] == [wire.Hello, wire.BatchGo]
