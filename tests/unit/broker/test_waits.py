"""Answers that wait: until the workers have answered, or their patience is over."""

from scitq import wire
from scitq.broker import events
from scitq.broker.commands import Wait
from scitq.broker.waits import PATIENCE, Waits
from scitq.wire import Skipped
from tests.pure_broker import PureBroker
from tests.unit.broker.small_mesh import mesh, plain, submit


def done(waits: Waits, broker: PureBroker, at: float) -> list[wire.Answer]:
    return [send.message for send in waits.settle(broker.state, at)]


def asked(intent: str, *, edit: bool) -> tuple[Waits, PureBroker]:
    """Task 1 of worker 1 and task 2 of worker 2 are asked back; the answer waits since 100."""
    broker = mesh((1, 0), (1, 0))
    submit(broker, *plain(2))
    broker.settle()
    broker.record(events.Asked((1, 2), intent))
    waits = Waits()
    waits.add(Wait(b"client", 7, (1, 2), 2, (), edit=edit), 100.0)
    return waits, broker


def test_it_waits_for_all_and_is_said_once() -> None:
    waits, broker = asked("requeue", edit=False)
    assert done(waits, broker, 100.0) == []
    broker.record(events.Returned((1,)))
    assert done(waits, broker, 101.0) == []
    broker.record(events.Kept((2,)))
    assert done(waits, broker, 102.0) == [wire.Done(id=7, count=2)]
    assert len(waits) == 0
    assert done(waits, broker, 103.0) == []


def test_after_its_patience_it_names_who_has_not_answered() -> None:
    waits, broker = asked("requeue", edit=False)
    broker.record(events.Returned((1,)))
    assert done(waits, broker, 100.0 + PATIENCE - 0.1) == []
    assert done(waits, broker, 100.0 + PATIENCE) == [wire.Done(id=7, count=2, missing=("w2",))]


def test_it_does_not_wait_for_who_is_away() -> None:
    waits, broker = asked("requeue", edit=False)
    broker.record(events.WorkerOffline(1))
    assert done(waits, broker, 100.0) == []
    broker.record(events.WorkerOffline(2))
    assert done(waits, broker, 100.0) == [wire.Done(id=7, count=2, missing=("w1", "w2"))]


def test_an_edit_says_what_it_did_not_reach() -> None:
    waits, broker = asked("edit", edit=True)
    broker.record(events.Kept((1,)), events.Entered("running", (1,), (1.0,)))
    broker.record(events.Returned((2,)), events.Cancelled((2, 2)))
    skipped = (Skipped(1, "has started"), Skipped(2, "was cancelled"))
    assert done(waits, broker, 100.0) == [wire.Done(id=7, count=0, skipped=skipped)]


def test_an_edit_of_what_was_deleted_meanwhile() -> None:
    waits, broker = asked("edit", edit=True)
    broker.record(events.Returned((1, 2)), events.Deleted((1, 1)))
    assert done(waits, broker, 100.0) == [wire.Done(id=7, count=1, skipped=(Skipped(1, "was deleted"),))]
