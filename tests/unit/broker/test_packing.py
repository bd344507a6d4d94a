"""What asks for more than a slot: on which worker it fits, what it keeps, and what may pass it."""

from typing import Any

import pytest

from scitq.broker import events, packing, schedule
from scitq.broker.explain import explain_task
from scitq.broker.offers import Offer
from scitq.model import Spec
from scitq.needs import Needs
from tests.pure_broker import PureBroker
from tests.unit.broker.small_mesh import Room, asking, machine, machines, mesh, plain, submit

ALL: dict[str, Any] = {"container": "tiny", "container_options": "--gpus all"}


def run(broker: PureBroker) -> None:
    """Hand over what can be, and have it start."""
    for number, tasks in schedule.place(broker.state).items():
        broker.record(events.Assigned(number, tuple(tasks)))
        broker.record(events.Entered("running", tuple(tasks), (1.0,) * len(tasks)))


def end(broker: PureBroker, *tasks: int) -> None:
    for task in tasks:
        broker.record(events.Requeued((task,)), events.Cancelled((task, task)))


@pytest.mark.parametrize(
    ("tasks", "placed"),
    [
        (asking(mem=40) + asking(mem=40), [1]),
        (asking(mem=40) + asking(mem=24) + asking(mem=1), [1, 2]),
        (asking(mem=65), []),
        (asking(cpu=8) + plain(1), [1]),
        (asking(cpu=6) + plain(2), [1, 2]),
        (plain(1) + asking(cpu=7), [1]),
        (plain(1) + asking(2, cpu=3), [1, 2, 3]),
        (plain(5), [1, 2, 3, 4]),
        (asking(3, cpu=8 / 3), [1, 2, 3]),
        (asking(5, cpu=0.5), [1, 2, 3, 4]),
        (asking(disk=60) + asking(disk=50) + asking(disk=40), [1]),
        (asking(disk=60) + asking(disk=40), [1, 2]),
        (asking(3, gpu=1), [1, 2]),
        (asking(gpu=2) + asking(gpu=0.1), [1]),
        (asking(gpu=3), []),
        (asking(4, gpu=0.5), [1, 2, 3, 4]),
        (asking(gpu=0.5) + asking(2, gpu=1), [1, 2]),
        (asking(3, gpu=0.6), [1, 2]),
        (asking(2, gpu=0.6) + asking(2, gpu=0.4), [1, 2, 3, 4]),
        (asking(gpu=0.6) + asking(gpu=1) + asking(gpu=0.5), [1, 2]),
        (asking(2, **ALL), [1]),
        (asking(gpu=0.5) + asking(**ALL), [1]),
        (asking(**ALL) + asking(gpu=0.5), [1]),
        (asking(cpu=9), []),
        (asking(mem=32, cpu=4, gpu=1, disk=50) + asking(mem=32, cpu=4, gpu=1, disk=50) + plain(1), [1, 2]),
    ],
)
def test_what_fits_on_a_worker_at_once(tasks: list[Spec], placed: list[int]) -> None:
    """4 slots, 8 cpus, 64 GiB, 2 GPUs, 100 GiB of disk."""
    broker = machines(machine(1, 4, gpus=2))
    submit(broker, *tasks)
    assert schedule.place(broker.state).get(1, []) == placed
    # One by one it comes to the same.
    again = machines(machine(1, 4, gpus=2))
    for spec in tasks:
        submit(again, spec)
        run(again)
    assert list(again.state.workers[1].held) == placed


@pytest.mark.parametrize(
    ("gpus", "engine", "placed"), [(0, "docker 20", {}), (1, "", {}), (1, "docker 20", {1: [1]})]
)
def test_all_gpus_are_one_at_least_and_an_engine(gpus: int, engine: str, placed: dict[int, list[int]]) -> None:
    broker = machines(machine(1, 4, gpus=gpus, engine=engine))
    submit(broker, *asking(**ALL))
    assert schedule.place(broker.state) == placed


def test_each_goes_where_its_means_are() -> None:
    broker = machines(machine(1, 4), machine(2, 4, gpus=1), machine(3, 4, mem=256), machine(4, 4, batch="blue"))
    submit(broker, *asking(mem=100), *asking(gpu=1), *asking(mem=200), *plain(1), *asking(mem=60, batch="blue"))
    assert schedule.place(broker.state) == {3: [1], 2: [2], 1: [4], 4: [5]}


def test_the_emptier_worker_comes_first_and_priority_before_all() -> None:
    broker = machines(machine(1, 4), machine(2, 4, batch="*"))
    submit(broker, *asking(3, mem=20), *asking(2, mem=20, priority=1))
    assert schedule.place(broker.state) == {1: [4, 1, 3], 2: [5, 2]}


def test_beyond_its_slots_a_worker_is_handed_what_fits_it_when_empty() -> None:
    broker = machines(machine(1, 1, prefetch=3))
    submit(broker, *asking(mem=40), *asking(mem=100), *asking(2, mem=60), *plain(4))
    assert schedule.place(broker.state) == {1: [1, 3, 4, 5]}


def test_once_its_slots_are_taken_a_worker_is_handed_again_what_fits_it_when_empty() -> None:
    broker = machines(machine(1, 2, prefetch=2), machine(2, 2, prefetch=2))
    submit(broker, *asking(2, mem=40), *asking(mem=30), *plain(1), *asking(mem=50))
    assert schedule.place(broker.state) == {1: [1], 2: [2, 4, 5]}


def test_with_free_slots_nothing_is_handed_over_that_must_wait() -> None:
    broker = machines(machine(1, 2, prefetch=3))
    submit(broker, *asking(2, mem=40))
    assert schedule.place(broker.state) == {1: [1]}


def test_nothing_is_handed_over_to_wait_behind_what_waits() -> None:
    broker = machines(machine(1, 3, prefetch=1))
    submit(broker, *asking(2, mem=30), *plain(1), *asking(mem=40))
    run(broker)
    end(broker, 1, 3)
    assert list(broker.state.workers[1].held) == [2, 4]
    submit(broker, *plain(1))
    assert schedule.place(broker.state) == {}
    line = "worker w1 has a task that waits for others there, and begins before it"
    assert explain_task(broker.state, 5)[1:] == [line]
    broker.record(machine(2, 1))
    assert schedule.place(broker.state) == {2: [5]}
    end(broker, 2)
    assert schedule.place(broker.state) == {2: [5]}
    broker.record(events.WorkerOffline(2))
    assert schedule.place(broker.state) == {1: [5]}


def test_what_is_stored_asks_for_nothing_more() -> None:
    broker = machines(machine(1, 2))
    submit(broker, *asking(2, mem=40))
    run(broker)
    assert schedule.place(broker.state) == {}
    broker.record(events.Entered("uploading", (1,), (2.0,)))
    assert schedule.place(broker.state) == {1: [2]}


# ------------------------------------------------------------------------ who waits keeps a worker


def test_what_comes_after_does_not_take_what_a_task_waits_for() -> None:
    broker = machines(machine(1, 4))
    submit(broker, *asking(mem=40), *asking(mem=60), *asking(mem=10))
    assert schedule.place(broker.state) == {1: [1]}


def test_what_comes_after_has_what_is_left() -> None:
    """The GPU is what task 2 waits for: of the cpus it leaves three slots, of the memory 24 GiB."""
    broker = machines(machine(1, 4, gpus=1))
    submit(broker, *asking(gpu=1), *asking(gpu=1, mem=40), *plain(1), *asking(mem=30), *asking(mem=24), *plain(1))
    assert schedule.place(broker.state) == {1: [1, 3, 5]}


def test_what_comes_after_goes_to_other_workers() -> None:
    broker = machines(machine(1, 2), machine(2, 2, mem=16))
    submit(broker, *asking(mem=40), *asking(mem=60), *asking(2, mem=8), *asking(2, mem=8))
    assert schedule.place(broker.state) == {1: [1], 2: [3, 4]}


def test_what_comes_before_may_have_it() -> None:
    broker = machines(machine(1, 4))
    submit(broker, *asking(mem=40), *asking(mem=60))
    run(broker)
    submit(broker, *asking(mem=10, priority=1))
    assert schedule.place(broker.state) == {1: [3]}


def test_a_kept_worker_is_handed_nothing_beyond_its_slots() -> None:
    broker = machines(machine(1, 2, prefetch=5))
    submit(broker, *asking(mem=40), *asking(mem=60), *plain(5))
    assert schedule.place(broker.state) == {1: [1]}


@pytest.mark.parametrize(("loads", "kept"), [((40, 30), 2), ((30, 40), 1), ((40, 40), 1), ((10, 10), 1)])
def test_the_worker_that_lacks_least_is_kept(loads: tuple[int, int], kept: int) -> None:
    broker = machines(machine(1, 4), machine(2, 4))
    submit(broker, *asking(mem=loads[0]), *asking(mem=loads[1]))
    run(broker)
    assert [list(worker.held) for worker in broker.state.workers.values()] == [[1], [2]]
    submit(broker, *asking(mem=60), *plain(2))
    packed = packing.pack(broker.state, frozenset(), schedule.MOST)
    assert {task: offer.worker.number for task, offer in packed.kept.items()} == {3: kept}


def test_what_could_run_nowhere_keeps_nothing() -> None:
    broker = machines(machine(1, 2), machine(2, 2, batch="blue", mem=999))
    submit(broker, *asking(mem=100), *asking(gpu=1), *asking(cpu=64), *plain(1))
    assert schedule.place(broker.state) == {1: [4]}


def test_one_of_those_who_ask_the_same_keeps_a_worker() -> None:
    broker = machines(machine(1, 2), machine(2, 2))
    submit(broker, *asking(2, mem=40), *asking(9, mem=60), *asking(mem=60, priority=-1), *asking(mem=10, priority=-2))
    assert schedule.place(broker.state) == {1: [1], 2: [2, 13]}


def test_only_so_many_workers_are_kept_for_one_batch() -> None:
    count = packing.MOST_KEPT + 2
    broker = machines(*(machine(number, 2) for number in range(1, count + 1)))
    submit(broker, *asking(count, mem=40))
    submit(broker, *(spec for n in range(count) for spec in asking(mem=50 + n / 2)))
    packed = packing.pack(broker.state, frozenset(), schedule.MOST)
    assert len(packed.kept) == packing.MOST_KEPT
    assert len({offer.worker.number for offer in packed.kept.values()}) == packing.MOST_KEPT


@pytest.mark.parametrize("big", [{"mem": 64}, {"cpu": 8}, {"disk": 100}, {"gpu": 2}, {"mem": 64, "cpu": 8, "gpu": 2}])
def test_small_tasks_without_end_do_not_keep_a_large_one_from_its_turn(big: dict[str, Any]) -> None:
    broker = machines(machine(1, 4, gpus=2), machine(2, 4, gpus=2), machine(3, 4))
    small = asking(mem=16, cpu=2, disk=25, gpu=0.5) + plain(1)
    submit(broker, *small * 6)
    run(broker)
    submit(broker, *asking(**big), *small * 100)
    for _ in range(12):
        for worker in broker.state.workers.values():
            end(broker, *list(worker.held)[:1])
        run(broker)
    assert broker.state.batches["Default"].counts["pending"] > 100
    assert broker.state.status_of(13) in ("running", "cancelled"), "it had its turn"


def test_a_plain_task_is_not_promised_a_cpu_that_another_asked_for() -> None:
    broker = machines(machine(1, 4))
    submit(broker, *asking(cpu=7))
    run(broker)
    submit(broker, *plain(1))
    assert schedule.place(broker.state) == {}
    end(broker, 1)
    assert schedule.place(broker.state) == {1: [2]}


@pytest.mark.parametrize("rooms", [[(2, 1), (1, 0), (3, 2), (1, 4)], [(1, 9), (4, 0)], [(3, 3)] * 3])
def test_plain_tasks_are_placed_alike_whether_or_not_others_ask(rooms: list[Room]) -> None:
    placed = []
    for other in (plain(1, batch="nobody's"), asking(mem=1, batch="nobody's")):
        broker = mesh(*rooms)
        submit(broker, *other, *plain(12), *plain(2, priority=1))
        placed.append(schedule.place(broker.state))
        assert packing.asked(broker.state) == (other != plain(1, batch="nobody's"))
    assert placed[0] == placed[1]


# ------------------------------------------------------------------------ many lanes, many workers


def test_a_round_looks_at_few_workers_however_many_lanes_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    real = Offer.fits

    def counted(offer: Offer, needs: Needs) -> bool:
        nonlocal looks
        looks += 1
        return real(offer, needs)

    monkeypatch.setattr(Offer, "fits", counted)
    broker = machines(*(machine(number, 4) for number in range(1, 201)))
    broker.strict = False
    submit(broker, *(spec for n in range(1_000) for spec in asking(mem=33 + (n * 37 % 1_000) / 50)), *plain(1_000))
    placed = schedule.place(broker.state)
    # 200 of the large ones, then the plain beside them; the other large ones are known to fit nowhere.
    assert sum(map(len, placed.values())) == 200 + 600 - packing.MOST_KEPT
    assert looks < 5_000


def test_a_round_ends_after_so_many_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "LOOKS", 3)
    broker = machines(*(machine(number, 4) for number in range(1, 10)))
    submit(broker, *asking(9, mem=40))
    assert 1 <= sum(map(len, schedule.place(broker.state).values())) <= 3
    broker.settle()
    assert broker.state.batches["Default"].counts["assigned"] == 9


def test_a_lane_that_is_empty_is_gone() -> None:
    broker = machines(machine(1, 64, cpus=64, mem=10_000))
    submit(broker, *(spec for n in range(50) for spec in asking(mem=n + 1)))
    assert len(broker.state.batches["Default"].lanes) == 50
    run(broker)
    assert broker.state.batches["Default"].lanes == []


# ------------------------------------------------------------------------ taken back


def test_what_waits_beyond_the_slots_is_asked_back_for_a_worker_that_has_the_means_free() -> None:
    broker = machines(machine(1, 1, prefetch=2))
    submit(broker, *asking(3, mem=40))
    broker.settle()
    broker.record(events.Entered("running", (1,), (1.0,)))
    broker.record(machine(2, 2, mem=32))
    assert schedule.take_back(broker.state, {}) == {}
    broker.record(machine(2, 2, mem=64))
    assert schedule.take_back(broker.state, {}) == {1: [3]}
    broker.record(machine(2, 2, mem=128))
    assert schedule.take_back(broker.state, {}) == {1: [3, 2]}


def test_what_is_on_its_way_back_will_have_what_is_free() -> None:
    broker = machines(machine(1, 1, prefetch=2))
    submit(broker, *asking(3, mem=40))
    broker.settle()
    broker.record(events.Entered("running", (1,), (1.0,)), events.Asked((3,), "requeue"), machine(2, 2))
    assert schedule.take_back(broker.state, {}) == {}
    broker.record(machine(3, 2))
    assert schedule.take_back(broker.state, {}) == {1: [2]}


def test_what_waits_for_memory_is_asked_back_though_there_are_slots() -> None:
    broker = machines(machine(1, 2, prefetch=2))
    submit(broker, *asking(mem=30), *asking(mem=30), *asking(2, mem=40))
    broker.settle()
    broker.record(events.Entered("running", (1, 2), (1.0, 1.0)))
    end(broker, 1, 2)
    broker.record(events.Entered("running", (3,), (2.0,)))
    broker.record(machine(2, 2))
    assert schedule.take_back(broker.state, {}) == {1: [4]}
    broker.record(events.Asked((4,), "requeue"))
    broker.record(machine(3, 2))
    assert schedule.take_back(broker.state, {}) == {}


def test_who_shares_does_not_join_on_a_gpu_that_another_waits_for() -> None:
    broker = machines(machine(1, 3, prefetch=2, gpus=2))
    submit(broker, *asking(2, gpu=0.5), *plain(1), *asking(**ALL), *asking(gpu=0.5))
    run(broker)
    assert list(broker.state.workers[1].held) == [1, 2, 3, 4, 5]
    end(broker, 1, 2, 3)
    submit(broker, *asking(gpu=0.5))
    assert schedule.place(broker.state) == {}


def test_nothing_is_asked_back_for_a_worker_that_is_kept_for_another() -> None:
    broker = machines(machine(1, 1, prefetch=1), machine(2, 2, mem=128))
    submit(broker, *asking(mem=60), *asking(mem=100), *asking(mem=120), *plain(1))
    run(broker)
    assert {number: list(worker.held) for number, worker in broker.state.workers.items()} == {1: [1, 4], 2: [2]}
    broker.record(events.Requeued((4,)), events.Assigned(1, (4,)))
    assert schedule.take_back(broker.state, {}) == {}
    broker.record(events.Cancelled((3, 3)))
    assert schedule.take_back(broker.state, {}) == {1: [4]}
