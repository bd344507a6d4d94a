"""Why a task or a batch does nothing: the most telling line for each cause."""

import pytest

from scitq.broker import events
from scitq.broker.explain import explain_batch, explain_task
from scitq.errors import NotFound
from tests.unit.broker.small_mesh import Room, mesh, plain, submit


@pytest.mark.parametrize(
    ("rooms", "facts", "line"),
    [
        ([], [], "no worker serves batch Default"),
        ([(1, 0)], [events.WorkerOffline(1)], "the workers of batch Default are offline: w1"),
        ([(1, 0)], [events.WorkerLost(1)], "no worker serves batch Default"),
        ([(1, 0)], [events.WorkerChanged(1, 1, 0, "Default", True)], "all workers of the batch are paused: w1"),
        ([(1, 0)], [events.WorkerChanged(1, 1, 0, "blue", False)], "no worker serves batch Default"),
        ([(2, 0)], [events.Assigned(1, (1, 2))], "all 2 slots of the 1 workers of batch Default are taken"),
        ([(9, 0)], [events.BatchStopped("Default", "stop")], "batch Default is stopped"),
        ([(9, 0)], [], "2 tasks of batch Default go before it"),
        ([(9, 0)], [events.Cancelled((1, 2))], "it is next in its batch"),
    ],
)
def test_a_pending_task(rooms: list[Room], facts: list[events.Fact], line: str) -> None:
    broker = mesh(*rooms)
    submit(broker, *plain(3))
    broker.record(*facts)
    first, second, *_ = explain_task(broker.state, 3)
    assert first == "task 3 is pending"
    assert second.startswith(line)


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ([], "attempt 1 is with worker w1, which is online"),
        ([events.Asked((1,), "edit")], "it was asked back (edit); the worker has not answered yet"),
        ([events.Assigned(1, (2,))], "it waits for one of the worker's 1 slots"),
        ([events.WorkerOffline(1)], "if the worker stays away past the grace, the task is given to another"),
        ([events.Requeued((1,)), events.Cancelled((1, 1), "cancelled by ann")], "cancelled by ann"),
    ],
)
def test_a_task_at_a_worker(facts: list[events.Fact], line: str) -> None:
    broker = mesh((1, 1))
    submit(broker, *plain(2))
    broker.record(events.Assigned(1, (1,)), *facts)
    assert line in explain_task(broker.state, 1)


def test_a_batch() -> None:
    broker = mesh((1, 0))
    submit(broker, *plain(3))
    assert explain_batch(broker.state, "Default") == ["batch Default: 3 pending"]
    broker.record(events.Assigned(1, (1,)))
    counted, why = explain_batch(broker.state, "Default")
    assert counted == "batch Default: 2 pending, 1 assigned"
    assert why.startswith("all 1 slots")


def test_what_is_not_there() -> None:
    with pytest.raises(NotFound, match="no task 4"):
        explain_task(mesh().state, 4)
    with pytest.raises(NotFound, match="no batch blue"):
        explain_batch(mesh().state, "blue")
