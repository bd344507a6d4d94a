"""Which tasks a command is about: by id, name, batch and status."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any, get_args

from scitq.errors import Conflict, NotFound, UsageError
from scitq.model import Status, Task
from scitq.shell import values
from scitq.shell.tree import Argument, Kind, Option

if TYPE_CHECKING:
    from scitq.client import Client, Select

_STATUSES: tuple[str, ...] = get_args(Status)


def _statuses(text: str) -> tuple[str, ...]:
    found = tuple(text.replace(",", " ").split())
    for status in found:
        if status not in _STATUSES:
            raise ValueError(f"no status {status!r} (there are: {', '.join(_STATUSES)})")
    if not found:
        raise ValueError("no status")
    return found


TASKS = Argument("tasks", "task ids: 3 4 7-9", values.IDS, "*")
ID = Option(("-i", "--id"), "task ids too; may be given several times", values.IDS, many=True)
NAME = Option(("-n", "--name"), "the tasks of this name", values.NAME)
BATCH = Option(("-b", "--batch"), "the tasks of this batch", values.BATCH)
STATUS = Option(
    ("-S", "--status"),
    "the tasks in this state, or in one of several: pending,running",
    Kind("STATUS", _statuses),
    many=True,
)
SELECTION = (ID, NAME, BATCH, STATUS)


def conditions(given: Namespace) -> dict[str, Any]:
    """All that was given, as the client's methods take it; an empty mapping when nothing was."""
    ids = tuple(number for several in (*given.tasks, *given.id) for number in several)
    status = tuple(each for several in given.status for each in several)
    found = {"ids": ids or None, "batch": given.batch, "name": given.name, "status": status or None}
    return {name: value for name, value in found.items() if value is not None}


def selected(given: Namespace) -> "Select":
    """The selection of an order, which is never about all tasks by omission."""
    from scitq.client import Select

    if not (found := conditions(given)):
        raise UsageError("which tasks? give their ids, or -n NAME, -b BATCH, -S STATUS")
    return Select(**found)


def one_task(client: "Client", given: Namespace) -> Task:
    """The one task that is meant."""
    found = conditions(given)
    if not found:
        raise UsageError("which task? give its id, or -n NAME")
    tasks = client.tasks(**found)
    task = next(tasks, None)
    if task is None:
        raise NotFound(_nothing(found))
    if (other := next(tasks, None)) is not None:
        raise Conflict(f"several tasks are meant, {task.id} and {other.id} among them: give one id")
    return task


def some_tasks(client: "Client", found: dict[str, Any]) -> list[Task]:
    """The tasks of these conditions; NotFound when there is none, or when one of the ids is unknown."""
    tasks = list(client.tasks(**found))
    unknown = sorted(set(found.get("ids", ())) - {task.id for task in tasks})
    if not tasks or (unknown and found.keys() == {"ids"}):
        raise NotFound(f"no task {unknown[0]}" if unknown else _nothing(found))
    return tasks


def _nothing(found: dict[str, Any]) -> str:
    if found.keys() == {"ids"} and len(found["ids"]) == 1:
        return f"no task {found['ids'][0]}"
    if found.keys() == {"batch"}:
        return f"no task in batch {found['batch']}"
    if found.keys() == {"name"}:
        return f"no task of name {found['name']}"
    return "no such task"
