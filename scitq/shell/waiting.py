"""Waiting for the ends of tasks: of many, a line each; of one, with its output as it is written."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from scitq.errors import NotFound, ScitqError
from scitq.model import ENDED
from scitq.shell.outcome import tasks, told

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scitq.client import Client
    from scitq.wire import Change, Ended

# An attempt that has not come so far may still be taken back, and has written nothing.
_WRITING = ENDED | {"running", "uploading"}


def wait_for(client: "Client", several: list[dict[str, Any]], *, as_json: bool) -> int:
    """Tell each end of the tasks selected as it comes, then how many ended how; 1 when one has not succeeded."""
    from scitq.shell.render import print_json

    ends: dict[int, Change | Ended] = {}
    for found in several:
        for end in _ends(_followed(client, found)):
            if not as_json:
                print(told(end), flush=True)
            ends[end.task] = end
        if gone := set(found.get("ids", ())) - ends.keys():
            raise NotFound(f"task {min(gone)} was deleted while it was waited for")
    if as_json:
        print_json(client.tasks(sorted(ends)) if ends else ())
    else:
        print(_summary(Counter(end.status for end in ends.values())))
    return 0 if all(end.status == "succeeded" for end in ends.values()) else ScitqError.exit_code


def attend(client: "Client", task: int, *, silent: bool) -> "Change | Ended":
    """How one task ended; the output of each of its attempts is copied meanwhile, unless `silent`."""
    from scitq.shell.streams import copy

    copied, last = 0, None
    for last in client.changes([task]):
        if not silent and last.status in _WRITING and last.attempt > copied:
            for attempt in _attempts(client, task, copied, last.attempt):
                copy(client.output_parts(task, follow=True, attempt=attempt))
            copied = last.attempt
    if last is None or last.status not in ENDED:
        raise NotFound(f"task {task} was deleted while it was waited for")
    return last


def _attempts(client: "Client", task: int, after: int, upto: int) -> "Iterable[int]":
    """The attempts whose output comes next; short ones may have passed without a change that told of them."""
    if upto == after + 1:
        return [upto]
    return [each.attempt for each in client.attempts([task]) if after < each.attempt <= upto]


def _followed(client: "Client", found: dict[str, Any]) -> "Iterable[Change | Ended]":
    from scitq.shell.selection import some_tasks

    if found.keys() == {"ids"}:
        return client.changes(found["ids"])
    if found.keys() == {"batch"}:
        return client.changes(batch=found["batch"])
    return client.changes([task.id for task in some_tasks(client, found)])


def _ends(changes: "Iterable[Change | Ended]") -> "Iterable[Change | Ended]":
    """Each end once; the end of a task that was relaunched meanwhile is told again."""
    known: dict[int, int] = {}
    for change in changes:
        if change.status in ENDED and known.get(change.task) != change.attempt:
            known[change.task] = change.attempt
            yield change


def _summary(counts: "Counter[str]") -> str:
    parts = (f"{count} {status}" for status, count in counts.most_common())
    return f"{tasks(counts.total())}: {', '.join(parts)}" if counts else "there was no task to wait for"
