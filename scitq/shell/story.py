"""What happened to a task, and why: everything that is known of it, for people."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from scitq.errors import UsageError
from scitq.model import Attempt, Task
from scitq.shell.columns import shown
from scitq.shell.render import one_line, plain, print_json
from scitq.shell.selection import some_tasks

if TYPE_CHECKING:
    from scitq.client import Client

_EMPTY: tuple[object, ...] = (None, "", (), {}, 0, 0.0)
_ZERO_SPEAKS = ("uid", "gid", "log_limit")


def show_tasks(client: "Client", found: dict[str, Any], *, as_json: bool) -> int:
    """Print these tasks with their attempts."""
    if not found:
        raise UsageError("which tasks? give their ids, or -n NAME, -b BATCH, -S STATUS")
    tasks = some_tasks(client, found)
    stories = ((task, list(client.attempts([task.id]))) for task in tasks)
    if as_json:
        print_json({**plain(task), "attempts": plain(attempts)} for task, attempts in stories)
        return 0
    for number, (task, attempts) in enumerate(stories):
        if number:
            print()
        _print_story(task, attempts)
    return 0


def output_of(client: "Client", task: Task, attempt: int) -> int:
    """Print what there is of a task's output as JSON."""
    kept = {"stdout": b"", "stderr": b""}
    for part in client.output_parts(task.id, attempt=attempt):
        kept[part.stream] += part.data
        attempt = part.attempt
    print_json([{"task": task.id, "attempt": attempt, **kept}])
    return 0


def explain_tasks(client: "Client", found: dict[str, Any], *, as_json: bool) -> int:
    """Print why these tasks, or this batch, are where they are."""
    if not found:
        raise UsageError("what? give task ids, -n NAME or -S STATUS, or a batch with -b")
    if found.keys() == {"batch"}:
        reasons = [({"batch": found["batch"]}, client.explain(batch=found["batch"]))]
    else:
        reasons = list(_explained(client, some_tasks(client, found)))
    if as_json:
        print_json({**what, "lines": lines} for what, lines in reasons)
        return 0
    for _, lines in reasons:
        for line in lines:
            print(one_line(line))
    return 0


def _explained(client: "Client", tasks: Iterable[Task]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Each with its lines; a worker that does not answer is not asked again."""
    silent: set[str] = set()
    for task in tasks:
        lines = client.explain(task.id)
        if task.worker not in silent:
            told = client.progress(task)
            if told is None:
                silent.add(task.worker)
            lines += told or ()
        yield {"task": task.id}, lines


def _print_story(task: Task, attempts: list[Attempt]) -> None:
    """One line for each thing that is known; what is empty, and what only repeats the last attempt, is left out."""
    repeated = {*Attempt.__struct_fields__, "id"} - {"status", "worker", "attempt"} if attempts else set()
    _print_fields(f"task {task.id}", task, leave_out=repeated | {"id"})
    for attempt in attempts:
        _print_fields(f"attempt {attempt.attempt}", attempt, leave_out={"task", "attempt"})


def _print_fields(title: str, value: Task | Attempt, leave_out: set[str]) -> None:
    print(title)
    for name in value.__struct_fields__:
        held = getattr(value, name)
        cell = shown(name, held)
        if name in leave_out or cell in (None, "") or (held in _EMPTY and name not in _ZERO_SPEAKS):
            continue
        print(f"  {name.rstrip('_'):18} {one_line(str(cell))}")
