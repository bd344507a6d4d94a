"""`scitq manage task …`."""

from argparse import Namespace
from typing import Literal

from scitq.errors import UsageError
from scitq.shell import values
from scitq.shell.columns import LISTING, LONG, print_list
from scitq.shell.connect import JSON, SERVER, client_of
from scitq.shell.outcome import tell_done
from scitq.shell.selection import SELECTION, TASKS, conditions, one_task, selected
from scitq.shell.specification import WHAT_A_TASK_IS, fields
from scitq.shell.tree import Argument, Command, Group, Option, Words

_FORCE = Option(("-f", "--force"), "also tasks that others wait for")
_CHANGES = (
    Option(("-N", "--new-name"), "give it this name", values.TEXT),
    Option(("-B", "--new-batch"), "put it into this batch", values.BATCH),
    *(option for option in WHAT_A_TASK_IS if option.flags[0] != "-i"),
    Option(("-R", "--requires"), "let it wait for these tasks, and no others: 3,5,7-9", values.IDS, many=True),
    Option(("-j", "--input"), "its inputs, all of them; may be given several times", values.URI, many=True),
)
_NEW_COMMAND = Words("the new command", dashes=True)
_SHORT = (
    *("id", "name", "batch", "status", "attempt", "worker", "exit_code", "submitted_at"),
    *("cpu", "mem", "gpu", "disk", "command"),
)
_LONG = (
    *("class_", "reason", "started_at", "ended_at", "submitted_by", "priority", "requires"),
    *("container", "container_options", "inputs", "resources", "output", "env", "uid", "gid"),
    *("retry", "run_timeout", "download_timeout", "log_limit"),
)


def list_tasks(given: Namespace) -> int:
    """The tasks for which all that is given holds; all of them when nothing is."""
    with client_of(given) as client:
        print_list(given, client.tasks(**conditions(given)), _SHORT, _LONG)
    return 0


def show(given: Namespace) -> int:
    """All that is known of these tasks."""
    from scitq.shell.story import show_tasks

    with client_of(given) as client:
        return show_tasks(client, conditions(given), as_json=given.json)


def output(given: Namespace) -> int:
    """What a task wrote: stdout on stdout, stderr on stderr, or the one that is asked for on stdout."""
    from scitq.shell.story import output_of
    from scitq.shell.streams import copy

    if given.stdout and given.stderr:
        raise UsageError("-o and -e: give one of them, or none for both")
    if given.json and given.follow:
        raise UsageError("--json prints what there is: it does not go with -f")
    stream: Literal["stdout", "stderr"] | None = None
    if given.stdout or given.stderr:
        stream = "stdout" if given.stdout else "stderr"
    with client_of(given) as client:
        task = one_task(client, given)
        if given.json:
            return output_of(client, task, given.attempt or 0)
        parts = client.output_parts(task.id, given.follow, attempt=given.attempt or 0, stream=stream)
        copy(parts, together=stream is not None)
    return 0


def wait(given: Namespace) -> int:
    """Wait for the ends of these tasks; 1 when one did not succeed."""
    from scitq.shell.waiting import wait_for

    if not (found := conditions(given)):
        raise UsageError("wait for which tasks? give their ids, or -n NAME, -b BATCH, -S STATUS")
    with client_of(given) as client:
        return wait_for(client, [found], as_json=given.json)


def cancel(given: Namespace) -> int:
    """End these tasks for good."""
    with client_of(given) as client:
        return tell_done(client.cancel(selected(given)), "cancelled")


def relaunch(given: Namespace) -> int:
    """Queue these ended tasks again."""
    changes = _changes(given)
    with client_of(given) as client:
        return tell_done(client.relaunch(selected(given), **changes), "queued again")


def update(given: Namespace) -> int:
    """Change tasks that have not started."""
    changes = _changes(given)
    if not changes:
        raise UsageError("nothing to change (see scitq manage task update -h)")
    with client_of(given) as client:
        return tell_done(client.update(selected(given), **changes), "changed")


def delete(given: Namespace) -> int:
    """Forget these tasks."""
    with client_of(given) as client:
        return tell_done(client.delete(selected(given), force=given.force), "deleted")


def explain(given: Namespace) -> int:
    """Say why these tasks, or a batch, are where they are."""
    from scitq.shell.story import explain_tasks

    with client_of(given) as client:
        return explain_tasks(client, conditions(given), as_json=given.json)


def usage(given: Namespace) -> int:
    """What each attempt at these tasks used, beside what they ask for."""
    from scitq.shell.usage.report import tell_tasks

    with client_of(given) as client:
        return tell_tasks(client, given, conditions(given))


def _changes(given: Namespace) -> dict[str, object]:
    changes = fields(given)
    if given.new_name is not None:
        changes["name"] = given.new_name
    if given.new_batch is not None:
        changes["batch"] = given.new_batch
    if given.requires:
        changes["requires"] = tuple(number for ids in given.requires for number in ids)
    return changes


_ONE = Argument("tasks", "the task's id", values.IDS, "*")

TASK = Group(
    "task",
    "one command with its inputs, output and options",
    (
        Command("list", "list tasks", list_tasks, (*SELECTION, LONG, *LISTING, *SERVER), (TASKS,)),
        Command("show", "show all that is known of tasks", show, (*SELECTION, JSON, *SERVER), (TASKS,)),
        Command(
            "output",
            "print what a task wrote",
            output,
            (
                Option(("-f", "--follow"), "go on until it has ended"),
                Option(("-o", "--stdout"), "only its stdout"),
                Option(("-e", "--stderr"), "only its stderr, on stdout"),
                Option(("--attempt",), "of this attempt (the latest)", values.POSITIVE),
                *SELECTION,
                JSON,
                *SERVER,
            ),
            (_ONE,),
        ),
        Command(
            "wait",
            "wait until tasks have ended; exit 1 when one has not succeeded",
            wait,
            (*SELECTION, JSON, *SERVER),
            (TASKS,),
        ),
        Command("cancel", "end tasks for good", cancel, (*SELECTION, *SERVER), (TASKS,)),
        Command(
            "relaunch",
            "queue ended tasks again, changed or as they are",
            relaunch,
            (*SELECTION, *_CHANGES, *SERVER),
            (TASKS,),
            _NEW_COMMAND,
        ),
        Command(
            "update",
            "change tasks that have not started",
            update,
            (*SELECTION, *_CHANGES, *SERVER),
            (TASKS,),
            _NEW_COMMAND,
        ),
        Command("delete", "forget tasks and their output", delete, (*SELECTION, _FORCE, *SERVER), (TASKS,)),
        Command(
            "explain",
            "say why tasks, or a batch (-b), are where they are",
            explain,
            (*SELECTION, JSON, *SERVER),
            (TASKS,),
        ),
        Command(
            "usage",
            "say what each attempt at tasks used, beside what they ask for",
            usage,
            (*SELECTION, *LISTING, *SERVER),
            (TASKS,),
        ),
    ),
)
