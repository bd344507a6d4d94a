"""What is added up of the attempts of a batch, and what is left out."""

import json
from typing import Any

import pytest

from scitq.model import Attempt, Task, Worker
from scitq.shell.render import plain
from scitq.shell.usage.attempts import AttemptUsage, stories, usage_of
from scitq.shell.usage.spread import Numbers, Spread
from scitq.shell.usage.tally import MOST_NAMES, Tallies
from tests.unit.shell.test_columns import PLAIN

MIB = 1 << 20
GIB = 1 << 30


def task(number: int = 1, **more: Any) -> Task:
    known: dict[str, Any] = dict.fromkeys(Task.__struct_fields__) | {"id": number, "name": "", "status": "succeeded"}
    return Task(**known | more)


def attempt(task: int = 1, number: int = 1, **more: Any) -> Attempt:
    ran: dict[str, Any] = {"run_seconds": 10.0, "cpu_seconds": 10.0, "peak_memory": GIB, "peak_disk": MIB}
    known: dict[str, Any] = {
        "task": task,
        "attempt": number,
        "epoch": 1,
        "status": "succeeded",
        "worker": "plain",
        "assigned_at": 0.0,
    }
    return Attempt(**known | ran | more)


def usage(**more: Any) -> AttemptUsage:
    asked = {name: more.pop(name, None) for name in ("cpu", "mem", "gpu", "disk", "name")}
    return usage_of(task(**asked | {"name": asked["name"] or ""}), attempt(**more))


def told(*several: AttemptUsage, worker: Worker | None = None, last: bool = True) -> Any:
    tallies = Tallies()
    for each in several:
        tallies.take(each, worker, last=last)
    (found,) = tallies.told("b")
    return found


def test_the_spread_of_numbers() -> None:
    numbers = Numbers(("a", "b"))
    for number in range(100, 0, -1):
        numbers.add("a", number)

    assert numbers.spreads() == {"a": Spread(50.5, 95, 100)}
    assert (numbers.most("a"), numbers.most("b")) == (100, 0)


def test_a_single_number_is_its_own_spread() -> None:
    numbers = Numbers(("a",))
    numbers.add("a", 7)

    assert json.dumps(plain(numbers.spreads())) == '{"a": {"median": 7, "p95": 7, "max": 7}}'


def test_cores_are_a_mean_over_a_second_at_least() -> None:
    assert usage(run_seconds=10.0, cpu_seconds=25.0).cores == 2.5
    assert usage(run_seconds=0.01, cpu_seconds=0.02).cores == 0.02


@pytest.mark.parametrize("status", ["running", "assigned", "uploading"])
def test_an_attempt_that_has_not_ended_used_nothing_yet(status: str) -> None:
    row = usage(status=status, mem=GIB)

    assert (row.run_seconds, row.peak_memory, row.cores, row.mem) == (None, None, None, GIB)


def test_an_attempt_that_never_ran_used_nothing() -> None:
    assert usage(status="failed", class_="download", run_seconds=0.0).peak_memory is None


def test_memory_that_nobody_measured_is_not_none() -> None:
    assert usage(peak_memory=0).peak_memory is None


def test_what_succeeded_is_told_apart_from_what_failed() -> None:
    found = told(usage(), usage(), usage(status="failed", class_="exit", peak_memory=9 * GIB, run_seconds=0.1))

    assert (found.succeeded, found.failed, found.oom) == (2, 1, 0)
    assert found.used["peak_memory"] == Spread(GIB, GIB, GIB)
    assert found.failed_max["peak_memory"] == 9 * GIB
    assert found.options == "--cpu 1 --mem 1.2G"
    assert found.next == {"cpu": 1, "mem": int(1.2 * GIB)}


def test_while_nothing_succeeded_what_failed_is_what_there_is() -> None:
    found = told(usage(status="failed", class_="exit"))

    assert found.used["peak_memory"].max == GIB
    assert found.failed_max == {}


def test_an_attempt_that_wanted_memory_says_that_it_needed_more() -> None:
    wanting = usage(status="failed", class_="oom", peak_memory=2 * GIB, mem=4 * GIB)

    assert told(usage(), wanting).options == "--cpu 1 --mem 4.8G"
    assert told(usage(), wanting, last=False).options == "--cpu 1 --mem 2.4G"  # its request may have been another
    assert told(usage(), wanting).oom == 1


@pytest.mark.parametrize(
    "left_out",
    [
        {"status": "cancelled", "class_": "cancelled"},
        {"status": "failed", "class_": "lost"},
        {"status": "running"},
        {"status": "failed", "class_": "image", "run_seconds": 0.0},
    ],
)
def test_what_did_not_run_to_an_end_of_its_own_is_left_out(left_out: dict[str, Any]) -> None:
    found = told(usage(), usage(peak_memory=9 * GIB, **left_out))

    assert (found.succeeded, found.failed) == (1, 0)
    assert found.used["peak_memory"].max == GIB


def test_what_was_asked_and_given() -> None:
    found = told(usage(mem=2 * GIB, gpu=1.0), usage(cpu=3.0, gpu=1.0), worker=PLAIN)

    assert found.asked == {"cpu": (3.0, 3.0), "mem": (2 * GIB, 2 * GIB), "gpu": (1.0, 1.0)}
    assert found.given == {"cpu": (2, 3.0), "mem": (2 * GIB, 4 * GIB), "gpu": (1.0, 1.0)}
    assert found.options == "--cpu 1 --mem 1.2G --gpu 1"


def test_gpus_that_not_all_asked_for_are_not_said() -> None:
    assert told(usage(gpu=1.0), usage()).options == "--cpu 1 --mem 1.2G"
    assert told(usage(gpu=1.0), usage(gpu=2.0)).options == "--cpu 1 --mem 1.2G"


def test_a_few_names_are_told_each_for_itself() -> None:
    tallies = Tallies()
    for name in ("align", "sort", "align"):
        tallies.take(usage(name=name, peak_memory=(GIB if name == "sort" else 2 * GIB)), None, last=True)

    assert [(each.name, each.succeeded, each.options) for each in tallies.told("b")] == [
        ("align", 2, "--cpu 1 --mem 2.4G"),
        ("sort", 1, "--cpu 1 --mem 1.2G"),
    ]


def test_many_names_are_told_together() -> None:
    tallies = Tallies()
    for number in range(3 * MOST_NAMES):
        tallies.take(usage(name=f"sample-{number}", run_seconds=float(1 + number)), None, last=True)

    (found,) = tallies.told("b")
    assert (found.name, found.succeeded, found.used["run_seconds"].max) == (None, 3 * MOST_NAMES, 3 * MOST_NAMES)


def test_a_batch_of_which_nothing_ran_is_told_too() -> None:
    found = told()

    assert (found.succeeded, found.failed, found.used, found.options) == (0, 0, {}, "")


def test_tasks_and_attempts_are_read_side_by_side() -> None:
    several = [(1, 1), (2, 1), (2, 2), (4, 1), (6, 1)]
    found = stories(map(task, (2, 3, 4, 5)), (attempt(*each) for each in several))

    assert [(each.id, [one.attempt for one in own]) for each, own in found] == [
        (2, [1, 2]),
        (3, []),
        (4, [1]),
        (5, []),
    ]
