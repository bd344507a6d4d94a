"""The reports: of tasks attempt by attempt, of batches in numbers, each with what to ask next time."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

from scitq.errors import NotFound, UsageError
from scitq.model import ENDED, Attempt, Batch, Status, Task
from scitq.shell.columns import print_list, shown
from scitq.shell.render import Cell, one_line, print_json, print_table
from scitq.shell.usage.advice import FEW
from scitq.shell.usage.attempts import AttemptUsage, stories, usage_of
from scitq.shell.usage.tally import BatchUsage, Range, Tallies

if TYPE_CHECKING:
    from scitq.client import Client

_FIELDS = (
    *("task", "attempt", "status", "class_", "worker", "run_seconds", "cpu_seconds", "cores", "cpu"),
    *("peak_memory", "mem", "peak_disk", "disk", "gpu", "read_bytes", "written_bytes"),
)
# How each measure is called, and the request that it is held against.
_ROWS = (
    ("run time", "run_seconds", ""),
    ("cpu time", "cpu_seconds", ""),
    ("cores", "cores", "cpu"),
    ("memory", "peak_memory", "mem"),
    ("disk", "peak_disk", "disk"),
    ("read", "read_bytes", ""),
    ("written", "written_bytes", ""),
    ("GPUs", "", "gpu"),
)
_COLUMNS = ("used", "median", "p95", "max", "max of failed", "asked", "given")
_SHOW_AFTER = 0.5  # seconds


def tell_tasks(client: "Client", given: Namespace, found: dict[str, Any]) -> int:
    """Print what each attempt at these tasks used."""
    if not found:
        raise UsageError("which tasks? give their ids, or -n NAME, -b BATCH, -S STATUS")
    if "ids" in found:
        found = {**found, "ids": tuple(sorted(set(found["ids"])))}
    print_list(given, _rows(client, found), _FIELDS)
    return 0


def tell_batches(client: "Client", names: tuple[str, ...], *, as_json: bool) -> int:
    """Print what the tasks of these batches used, and what to ask next time."""
    workers = {worker.name: worker for worker in client.workers()}
    told = []
    for name in names:
        tallies = Tallies()
        for task, attempts in _watched(_stories(client, {"batch": name}), client, name):
            for attempt in attempts:
                last = attempt is attempts[-1] and task.status in ENDED
                tallies.take(usage_of(task, attempt), workers.get(attempt.worker), last=last)
        told += tallies.told(name)
    if as_json:
        print_json(told)
        return 0
    for number, usage in enumerate(told):
        if number:
            print()
        _print(usage)
    return 0


def _rows(client: "Client", found: dict[str, Any]) -> Iterator[AttemptUsage]:
    unknown = set(found.get("ids", ()))
    for task, attempts in _stories(client, found):
        unknown.discard(task.id)
        for attempt in attempts:
            yield usage_of(task, attempt)
    if unknown and found.keys() == {"ids"}:
        raise NotFound(f"there is no task {min(unknown)}")


def _stories(client: "Client", found: dict[str, Any]) -> Iterator[tuple[Task, list[Attempt]]]:
    return stories(client.tasks(**found), client.attempts(**found))


def _watched(
    several: Iterator[tuple[Task, list[Attempt]]], client: "Client", batch: str
) -> Iterator[tuple[Task, list[Attempt]]]:
    """The same; on a terminal, with how far it is when it takes long."""
    if not sys.stderr.isatty():
        return several
    from tqdm import tqdm

    tqdm.monitor_interval = 0
    total = sum(_tasks_of(each) for each in client.batches() if each.name == batch)
    return iter(tqdm(several, total=total, unit=" tasks", leave=False, delay=_SHOW_AFTER, dynamic_ncols=True))


def _tasks_of(batch: Batch) -> int:
    return sum(getattr(batch, status) for status in get_args(Status))


def _print(usage: BatchUsage) -> None:
    ended = usage.succeeded + usage.failed
    title = f"batch {usage.batch}"
    if usage.name is not None:
        title += f", tasks named {usage.name}" if usage.name else ", tasks without a name"
    if not ended:
        print(one_line(f"{title}: no attempt has run to its end yet"))
        return
    print(one_line(f"{title}: {_attempts(usage.succeeded)} succeeded, {usage.failed} failed"))
    print_table(_COLUMNS, _table(usage), rare=_COLUMNS[4:])
    if usage.oom:
        print(f"{_attempts(usage.oom)} ended for want of memory: more may be needed than is said here")
    if ended < FEW:
        print(f"only {_attempts(ended)} to judge from")
    print(f"next time: {usage.options}")


def _table(usage: BatchUsage) -> Iterator[list[Cell]]:
    for label, measure, request in _ROWS:
        spread = usage.used.get(measure)
        row: list[Cell] = [
            label,
            *(shown(measure, getattr(spread, name, None)) for name in ("median", "p95", "max")),
            shown(measure, usage.failed_max.get(measure)),
            _range(request, usage.asked.get(request)),
            _range(request, usage.given.get(request)),
        ]
        if any(cell is not None for cell in row[1:]):
            yield row


def _range(request: str, span: Range | None) -> Cell:
    if span is None:
        return None
    least, most = shown(request, span[0]), shown(request, span[1])
    return least if least == most else f"{least} to {most}"


def _attempts(count: int) -> str:
    return f"{count} attempt{'' if count == 1 else 's'}"
