"""What workers lack, in words: never, now, and who is kept for whom."""

from typing import Any
from unittest.mock import Mock

import msgspec
import pytest

from scitq import wire
from scitq.broker import events, packing, schedule
from scitq.broker.explain import LANES_TOLD, explain_batch, explain_task
from scitq.broker.lacks import never
from scitq.needs import ALL_GPUS, Needs
from tests.unit.broker.small_mesh import GIB, asking, machine, machines, plain, submit


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (Needs(cpu=8, mem=64 * GIB, gpu=1, disk=100 * GIB), ""),
        (Needs(mem=65 * GIB), "65 GiB of memory: the largest has 64 GiB (w2)"),
        (Needs(mem=2**50), "1 PiB of memory: the largest has 64 GiB (w2)"),
        (Needs(cpu=8.5), "8.5 cpus: the largest has 8 (w1)"),
        (Needs(gpu=3), "3 GPUs: the largest has 1 (w2)"),
        (Needs(True, gpu=1), "a GPU"),
        (Needs(True, gpu=0.5), "a GPU"),
        (Needs(True, gpu=ALL_GPUS), "a GPU"),
        (Needs(disk=150 * GIB), "150 GiB of disk: the largest has 100 GiB (w1)"),
        (Needs(True, mem=50 * GIB), "50 GiB of memory: the largest has 32 GiB (w1)"),
        (Needs(True, cpu=8, mem=32 * GIB), ""),
    ],
)
def test_what_no_worker_has(needs: Needs, words: str) -> None:
    broker = machines(machine(1, 1, mem=32), machine(2, 1, gpus=1, engine=""))
    assert never(list(broker.state.workers.values()), needs) == words


def test_what_no_worker_has_at_once() -> None:
    broker = machines(machine(1, 1, mem=32, cpus=64), machine(2, 1, gpus=1, engine=""))
    workers = list(broker.state.workers.values())
    assert never(workers, Needs(cpu=16, mem=64 * GIB)) == "16 cpus and 64 GiB of memory at once"
    assert never(workers, Needs(cpu=16, gpu=0.5)) == "16 cpus and 0.5 of a GPU at once"
    assert never(workers, Needs(True)) == ""
    assert never(workers[1:], Needs(True)) == "a container engine that answers"


@pytest.mark.parametrize(
    ("first", "second", "until"),
    [
        ({"mem": 40}, {"mem": 30}, "30 GiB of memory are free (24 GiB of 64 GiB now)"),
        ({"cpu": 7.5}, {"cpu": 1}, "1 cpu is free (0.5 of 8 now)"),
        ({"cpu": 7}, {}, "2 cpus are free (1 of 8 now)"),
        ({"gpu": 1}, {"gpu": 2}, "2 GPUs are free (1 of 2 now)"),
        ({"gpu": 2}, {"gpu": 0.5}, "0.5 of a GPU is free (its 2 GPUs are taken)"),
        ({"disk": 80, "mem": 40}, {"disk": 50, "mem": 30},
         "30 GiB of memory are free (24 GiB of 64 GiB now) and 50 GiB of disk are free (20 GiB of 100 GiB now)"),
    ],
)  # fmt: skip
def test_what_must_be_free_on_the_worker_that_is_kept(
    first: dict[str, Any], second: dict[str, Any], until: str
) -> None:
    broker = machines(machine(1, 4, gpus=2))
    submit(broker, *asking(**first), *asking(**second), *asking(**second))
    broker.settle()
    line = f"it waits on worker w1, kept for it, until {until}"
    assert explain_task(broker.state, 2) == ["task 2 is pending", line]
    assert explain_batch(broker.state, "Default")[1:] == [line]


def test_who_comes_after_is_told_for_whom_the_worker_is_kept() -> None:
    broker = machines(machine(1, 4))
    submit(broker, *asking(mem=40), *asking(mem=50), *asking(mem=20))
    broker.settle()
    assert explain_task(broker.state, 3)[1:] == ["worker w1 is kept for task 2, which comes before it"]
    submit(broker, *asking(mem=30))
    assert explain_task(broker.state, 4)[1:] == [
        "it waits until 30 GiB of memory are free (24 GiB of 64 GiB now), on worker w1 or another"
    ]


def test_whose_turn_has_not_come_is_told_how_many_go_before() -> None:
    broker = machines(machine(1, 4))
    submit(broker, *asking(3, mem=10))
    assert explain_task(broker.state, 3)[1:] == ["2 tasks of batch Default go before it"]


def test_what_waits_at_its_worker_says_for_what() -> None:
    broker = machines(machine(1, 2, prefetch=1))
    submit(broker, *asking(mem=40), *plain(1), *asking(mem=40))
    broker.settle()
    broker.record(events.Entered("running", (1, 2), (1.0, 1.0)))
    assert "it waits for one of the worker's 2 slots" in explain_task(broker.state, 3)
    broker.record(events.Requeued((2,)), events.Cancelled((2, 2)))
    assert "it waits for what it asks for: others have it still" in explain_task(broker.state, 3)


def test_all_slots_of_those_that_have_the_means() -> None:
    broker = machines(machine(1, 1, mem=128), machine(2, 4))
    submit(broker, *asking(2, mem=100))
    broker.settle()
    assert explain_task(broker.state, 2)[1:] == [
        "all 1 slots of the 1 workers of batch Default with what it asks for are taken"
    ]


def test_of_a_batch_with_many_lanes_a_few_are_told() -> None:
    broker = machines(machine(1, 1))
    submit(broker, *(spec for n in range(100) for spec in asking(mem=100 + n)))
    assert len(explain_batch(broker.state, "Default")) == 1 + LANES_TOLD


def test_for_all_lanes_of_a_batch_the_next_round_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = machines(machine(1, 2, mem=10))
    submit(broker, *asking(mem=8))
    broker.settle()
    submit(broker, *(spec for n in range(5) for spec in asking(mem=5 + n)))
    pack = Mock(wraps=packing.pack)
    monkeypatch.setattr(packing, "pack", pack)
    assert len(explain_batch(broker.state, "Default")) == 6
    pack.assert_called_once()


def test_a_submit_warns_of_what_no_live_worker_has() -> None:
    broker = machines(machine(1, 1), machine(2, 1, mem=999))
    broker.record(events.WorkerOffline(2))
    specs = tuple(msgspec.Raw(wire.pack_spec(spec)) for n in range(9) for spec in asking(mem=60 + n))
    ((_, answer),) = broker.ask(wire.Submit(id=1, request="r", specs=specs))
    assert isinstance(answer, wire.Submitted)
    assert [line.split(":")[0] for line in answer.warnings] == [
        f"no live worker of batch Default has {size} GiB of memory" for size in (65, 66, 67)
    ]
    assert schedule.place(broker.state) == {1: [1]}
