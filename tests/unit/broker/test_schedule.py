"""Which task goes where: priority, FIFO, spread, prefetch, window, take back; stated for chosen rooms and queues."""

import pytest

from scitq import wire
from scitq.broker import events, schedule
from scitq.wire import Ref
from tests.pure_broker import PureBroker
from tests.unit.broker.small_mesh import Room, mesh, plain, submit


@pytest.mark.parametrize(
    ("rooms", "tasks", "placed"),
    [
        ([(1, 0)], 0, {}),
        ([(1, 0)], 3, {1: [1]}),
        ([(2, 0)], 3, {1: [1, 2]}),
        ([(2, 0), (2, 0)], 3, {1: [1, 3], 2: [2]}),
        ([(4, 0), (1, 0)], 3, {1: [1, 3], 2: [2]}),
        ([(1, 3), (2, 0)], 4, {1: [1, 4], 2: [2, 3]}),
        ([(1, 3), (1, 3)], 6, {1: [1, 3, 5], 2: [2, 4, 6]}),
    ],
)
def test_tasks_spread_and_slots_come_before_prefetch(
    rooms: list[Room], tasks: int, placed: dict[int, list[int]]
) -> None:
    broker = mesh(*rooms)
    submit(broker, *plain(tasks) or plain(1, batch="nobody's"))
    assert schedule.place(broker.state) == placed


def test_higher_priority_first_then_first_come() -> None:
    broker = mesh((4, 0))
    submit(broker, *plain(2), *plain(1, priority=-1), *plain(2, priority=7))
    assert schedule.place(broker.state) == {1: [4, 5, 1, 2]}


def test_over_batches_priority_counts_for_a_worker_of_all() -> None:
    broker = mesh((3, 0), (1, 0), batches=("*", "red"))
    submit(broker, *plain(1, batch="blue"), *plain(1, batch="red"), *plain(1, batch="green", priority=1))
    assert schedule.place(broker.state) == {1: [3, 1], 2: [2]}


@pytest.mark.parametrize(
    "fact",
    [
        events.WorkerOffline(1),
        events.WorkerLost(1),
        events.WorkerChanged(1, 1, 0, "Default", True),
        events.WorkerChanged(1, 1, 0, "blue", False),
        events.BatchStopped("Default", "stop"),
    ],
)
def test_nothing_is_placed(fact: events.Fact) -> None:
    broker = mesh((1, 0))
    submit(broker, *plain(1))
    broker.record(fact)
    assert schedule.place(broker.state) == {}


@pytest.mark.parametrize(
    ("seconds", "slots", "ahead"),
    [(None, 2, 0), (60.0, 2, 0), (0.3, 2, 0), (0.1, 2, 4), (0.001, 2, 400), (1e-6, 8, 512)],
)
def test_the_window_is_what_begins_within_a_fifth_of_a_second(seconds: float | None, slots: int, ahead: int) -> None:
    worker = mesh((slots, 0)).state.workers[1]
    worker.run_seconds = seconds
    assert worker.ahead == ahead


def test_one_round_is_bounded() -> None:
    broker = mesh((4_000, 0))
    broker.strict = False
    submit(broker, *plain(3_000))
    assert len(schedule.place(broker.state)[1]) == schedule.MOST


def crowded(*others: Room, batches: tuple[str, ...] = ()) -> PureBroker:
    """Worker 1 has one slot and holds tasks 1 to 4, of which 1 runs; others come later."""
    broker = mesh((1, 3))
    submit(broker, *plain(4))
    broker.settle()
    broker.record(events.Entered("running", (1,), (1.0,)))
    for number, (slots, prefetch) in enumerate(others, 2):
        batch = batches[number - 2] if batches else "Default"
        broker.record(
            events.WorkerJoined(number, f"id{number}", f"w{number}", batch, slots, prefetch, "h", 1, 1, "v")
        )
    return broker


@pytest.mark.parametrize(
    ("others", "batches", "back"),
    [
        ([], (), {}),
        ([(1, 0)], (), {1: [4]}),
        ([(2, 5)], (), {1: [4, 3]}),
        ([(9, 0)], (), {1: [4, 3, 2]}),
        ([(2, 0)], ("blue",), {}),
        ([(2, 0)], ("*",), {1: [4, 3]}),
    ],
)
def test_take_back_is_what_free_slots_can_start(
    others: list[Room], batches: tuple[str, ...], back: dict[int, list[int]]
) -> None:
    assert schedule.take_back(crowded(*others, batches=batches).state, {}) == back


def test_what_was_asked_back_is_not_asked_for_again() -> None:
    broker = crowded((2, 0))
    broker.record(events.Asked((4, 3), "requeue"))
    assert schedule.take_back(broker.state, {}) == {}
    broker.record(events.WorkerJoined(3, "id3", "w3", "Default", 1, 0, "h", 1, 1, "v"))
    assert schedule.take_back(broker.state, {}) == {1: [2]}


def test_what_will_begin_at_once_anyway_is_not_taken_back() -> None:
    broker = crowded((1, 0))
    broker.state.workers[1].run_seconds = 0.01
    assert schedule.take_back(broker.state, {}) == {}


def test_a_worker_that_was_just_given_tasks_takes_none_back() -> None:
    broker = crowded((1, 0))
    assert schedule.take_back(broker.state, {2: [9]}) == {}


def test_a_worker_that_does_not_read_is_handed_nothing_and_nothing_is_asked_back_for_it() -> None:
    broker = mesh((1, 0), (2, 0))
    submit(broker, *plain(4))
    assert schedule.place(broker.state, frozenset({2})) == {1: [1]}
    full = mesh((1, 1))
    submit(full, *plain(2))
    full.settle()
    full.record(events.WorkerJoined(2, "id2", "w2", "Default", 1, 0, "h", 1, 1, "v"))
    assert schedule.take_back(full.state, {}) == {1: [2]}
    assert schedule.take_back(full.state, {}, frozenset({2})) == {}


def test_among_workers_that_hold_nothing_who_waited_longest_comes_first() -> None:
    broker = mesh((1, 0), (1, 0))
    submit(broker, *plain(2))
    broker.settle()
    for worker in (2, 1):
        broker.report(worker, wire.Report(returned=(Ref(worker, 1, 1),)))
    assert schedule.place(broker.state) == {2: [1], 1: [2]}


def test_many_workers_that_serve_others_hide_nobody() -> None:
    others = schedule.MOST + 1
    broker = mesh(*[(1, 0)] * others, (1, 0), batches=(*["other"] * others, "Default"))
    submit(broker, *plain(1))
    assert schedule.place(broker.state) == {others + 1: [1]}


def test_a_slot_is_free_while_results_are_stored_but_not_for_ever_more_of_them() -> None:
    broker = mesh((1, 0))
    submit(broker, *plain(3))
    placed = []
    for task in (1, 2, 3):
        placed.append(schedule.place(broker.state))
        if not placed[-1]:
            break
        broker.record(events.Assigned(1, (task,)))
        broker.record(events.Entered("running", (task,), (1.0,)))
        assert schedule.place(broker.state) == {}
        broker.record(events.Entered("uploading", (task,), (2.0,)))

    assert placed == [{1: [1]}, {1: [2]}, {}]
