import pytest

from scitq import wire
from scitq.broker import events
from scitq.broker.commands import Peer, Send
from scitq.broker.relays import PATIENCE, Relays
from scitq.errors import NotFound, Unavailable
from scitq.model import Resource
from tests.unit.broker.small_mesh import mesh

USER = Peer(b"user", "user", "ada")
RESOURCE = Resource(uri="s3://lab/db", status="here", size=5)


def worker(number: int) -> Peer:
    return Peer(b"w%d" % number, "worker", f"w{number}", number)


def test_a_question_goes_to_its_worker_and_the_answer_to_who_asked() -> None:
    relays, state = Relays(), mesh((1, 0), (1, 0)).state

    first = relays.ask(state, USER, wire.WorkerResources(id=7, worker="w2"), 0.0)
    second = relays.ask(state, USER, wire.WorkerClean(id=7, worker="id2"), 0.0)

    assert (first.to, second.to) == (2, 2)
    assert first.message.id != second.message.id  # type: ignore[union-attr]
    answer = wire.ResourceList(id=first.message.id, resources=(RESOURCE,))  # type: ignore[union-attr,arg-type]
    assert relays.answered(worker(1), answer) == []
    assert relays.answered(worker(2), answer) == [Send(b"user", wire.ResourceList(id=7, resources=(RESOURCE,)))]
    assert relays.answered(worker(2), answer) == []
    assert len(relays) == 1


def test_who_cannot_be_asked_is_told_at_once() -> None:
    broker = mesh((1, 0))
    broker.record(events.WorkerOffline(1))

    with pytest.raises(NotFound, match="there is no worker w9"):
        Relays().ask(broker.state, USER, wire.WorkerClean(id=1, worker="w9"), 0.0)
    with pytest.raises(Unavailable, match="worker w1 is offline"):
        Relays().ask(broker.state, USER, wire.WorkerClean(id=1, worker="w1"), 0.0)


def test_who_leaves_or_is_silent_has_not_answered() -> None:
    broker, relays = mesh((1, 0), (1, 0)), Relays()
    for number in (1, 2):
        relays.ask(broker.state, USER, wire.WorkerClean(id=number, worker=f"w{number}"), 0.0)
    assert relays.settle(broker.state, 1.0) == []

    broker.record(events.WorkerOffline(1))
    gone = relays.settle(broker.state, 1.0)
    late = relays.settle(broker.state, PATIENCE + 1.0)

    told = [(send.to, send.message.id, send.message.error["message"]) for send in gone + late]  # type: ignore[union-attr]
    assert told == [(b"user", 1, "worker w1 has not answered"), (b"user", 2, "worker w2 has not answered")]
