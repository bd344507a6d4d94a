"""Tasks in containers go to workers with an engine, and past them the others go on."""

import msgspec
import pytest

from scitq import wire
from scitq.broker import events, schedule
from scitq.broker.explain import explain_batch, explain_task
from scitq.model import Changes
from scitq.wire import Select
from tests.pure_broker import refold, replay
from tests.unit.broker.small_mesh import Room, contained, mesh, plain, submit


@pytest.mark.parametrize(
    ("rooms", "engines", "placed"),
    [
        ([(9, 0)], "", {1: [3, 4]}),
        ([(9, 0)], "1", {1: [1, 2, 3, 4, 5]}),
        ([(2, 0), (2, 0)], "2", {1: [3, 4], 2: [1, 2]}),
        ([(1, 0), (4, 0)], "2", {1: [3], 2: [1, 2, 4, 5]}),
    ],
)
def test_a_worker_is_given_what_it_has_the_means_for(
    rooms: list[Room], engines: str, placed: dict[int, list[int]]
) -> None:
    for batches in ((), ("*",) * len(rooms)):
        broker = mesh(*rooms, engines=engines, batches=batches)
        submit(broker, *contained(2), *plain(2), *contained(1))
        assert schedule.place(broker.state) == placed


def test_priority_counts_over_both_kinds() -> None:
    broker = mesh((9, 0), engines="1")
    submit(broker, *plain(1), *contained(1, priority=1), *plain(1, priority=2), *contained(1))
    assert schedule.place(broker.state) == {1: [3, 2, 1, 4]}


def test_what_waits_elsewhere_is_asked_back_only_for_a_worker_that_can_have_it() -> None:
    broker = mesh((1, 2), engines="1")
    submit(broker, *contained(1), *plain(1), *contained(1))
    broker.settle()
    broker.record(events.Entered("running", (1,), (1.0,)))
    for engine, asked in (("", {1: [2]}), ("docker 20", {1: [3]})):
        broker.record(events.WorkerJoined(2, "id2", "w2", "Default", 1, 0, "h", 1, 1, "v", engine))
        assert schedule.take_back(broker.state, {}) == asked


def test_explain_says_that_no_worker_has_an_engine() -> None:
    broker = mesh((1, 0), engines="")
    submit(broker, *contained(1))
    for lines in (explain_task(broker.state, 1), explain_batch(broker.state, "Default")):
        assert any("no worker of batch Default has a container engine" in line for line in lines)
    broker.record(events.WorkerJoined(2, "id2", "w2", "Default", 1, 0, "h", 1, 1, "v", "podman 4"))
    assert schedule.place(broker.state) == {2: [1]}
    assert explain_task(broker.state, 1)[1:] == ["it is next in its batch"]


def test_explain_says_that_the_engine_of_its_worker_is_away() -> None:
    broker = mesh((1, 0), engines="1")
    submit(broker, *contained(1))
    broker.settle()
    broker.record(events.WorkerJoined(1, "id1", "w1", "Default", 1, 0, "h", 1, 1, "v"))
    assert any("container engine does not answer now" in line for line in explain_task(broker.state, 1))


def test_an_edit_changes_the_lane() -> None:
    broker = mesh((9, 0), engines="")
    submit(broker, *contained(2))
    broker.ask(wire.Update(id=2, select=Select(ids=(2,)), changes=Changes(container="", command=("true",))))
    assert schedule.place(broker.state) == {1: [2]}


def test_a_submit_that_nobody_can_run_is_told_so() -> None:
    broker = mesh((1, 0), engines="")
    packed = (msgspec.Raw(wire.pack_spec(contained(1)[0])),)
    ((_, answer),) = broker.ask(wire.Submit(id=1, request="r", specs=packed))
    assert isinstance(answer, wire.Submitted)
    assert any("no live worker of batch Default has a container engine" in line for line in answer.warnings)


def test_a_broker_made_again_from_its_journal_has_the_same_lanes() -> None:
    broker = mesh((1, 0), engines="1")
    submit(broker, *contained(2), *plain(1))
    broker.settle()
    broker.ask(wire.Update(id=2, select=Select(ids=(3,)), changes=Changes(container="tiny")))
    broker.record(events.WorkerJoined(2, "id2", "w2", "Default", 9, 0, "h", 1, 1, "v"))
    for state in (broker.state, replay(broker.entries), refold(broker.state)):
        assert schedule.place(state) == {}
        assert state.workers[1].engine == "docker 20"
