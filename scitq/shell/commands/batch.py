"""`scitq manage batch …`."""

from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from scitq.errors import UsageError
from scitq.shell import values
from scitq.shell.columns import LISTING, print_list
from scitq.shell.connect import JSON, SERVER, client_of
from scitq.shell.outcome import tasks, tell_left
from scitq.shell.render import one_line
from scitq.shell.tree import Argument, Command, Group, Option

if TYPE_CHECKING:
    from scitq.client import Client
    from scitq.wire import Done

How = Literal["stop", "suspend", "terminate", "kill"]

_NAMES = Argument("batches", "their names", values.BATCH, "*")
_NAME = Option(("-n", "--name"), "a name too; may be given several times", values.BATCH, many=True)
_FIELDS = (
    *("name", "stopped", "workers", "waiting", "pending", "assigned", "staging", "running", "uploading"),
    *("returning", "succeeded", "failed", "cancelled"),
)

# What is given -> how the broker calls it, and what becomes of the tasks that run.
_STOPS: dict[str, tuple[How, str]] = {
    "": ("stop", "none of its tasks starts; those that run go on"),
    "pause": ("suspend", "none of its tasks starts; those that ran are suspended"),
    "term": ("terminate", "none of its tasks starts; those that run are asked to end"),
    "kill": ("kill", "none of its tasks starts; those that run are killed"),
}


def list_batches(given: Namespace) -> int:
    """Every batch, and how many of its tasks are where."""
    with client_of(given) as client:
        print_list(given, client.batches(), _FIELDS)
    return 0


def wait(given: Namespace) -> int:
    """Wait for the ends of all tasks of these batches; 1 when one did not succeed."""
    from scitq.shell.waiting import wait_for

    names = _named(given)
    with client_of(given) as client:
        return wait_for(client, [{"batch": name} for name in names], as_json=given.json)


def stop(given: Namespace) -> int:
    """Start nothing more of these batches; what runs goes on, unless told otherwise."""
    chosen = [how for how in _STOPS if how and getattr(given, how)]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]}: give one of them")
    how, result = _STOPS[chosen[0] if chosen else ""]
    return _each(given, lambda client, name: client.batch_stop(name, how), lambda _: f"stopped: {result}")


def go(given: Namespace) -> int:
    """Let these batches go on."""
    return _each(given, lambda client, name: client.batch_go(name), lambda count: f"goes on: {count} to do")


def delete(given: Namespace) -> int:
    """Forget these batches and their tasks."""
    return _each(
        given,
        lambda client, name: client.batch_delete(name, force=given.force),
        lambda count: f"deleted: {count} forgotten",
    )


def usage(given: Namespace) -> int:
    """What the tasks of these batches used, and what to ask next time."""
    from scitq.shell.usage.report import tell_batches

    with client_of(given) as client:
        return tell_batches(client, _named(given), as_json=given.json)


def _each(given: Namespace, order: "Callable[[Client, str], Done]", result: Callable[[str], str]) -> int:
    """Give an order for each batch and say what came of it; 1 when a worker has not answered."""
    code = 0
    with client_of(given) as client:
        for name in _named(given):
            done = order(client, name)
            print(one_line(f"batch {name} {result(tasks(done.count))}"), flush=True)
            code |= tell_left(done)
    return code


def _named(given: Namespace) -> tuple[str, ...]:
    names: tuple[str, ...] = tuple(dict.fromkeys((*given.batches, *given.name)))
    if not names:
        raise UsageError("which batch? give its name")
    return names


BATCH = Group(
    "batch",
    "a name that ties tasks to workers",
    (
        Command("list", "list batches", list_batches, (*LISTING, *SERVER)),
        Command(
            "wait",
            "wait until all tasks of batches have ended; exit 1 when one has not succeeded",
            wait,
            (_NAME, JSON, *SERVER),
            (_NAMES,),
        ),
        Command(
            "stop",
            "start no more tasks of batches",
            stop,
            (
                Option(("--pause",), "also suspend those that run"),
                Option(("--term",), "also ask those that run to end (SIGTERM), then kill them"),
                Option(("--kill",), "also kill those that run"),
                _NAME,
                *SERVER,
            ),
            (_NAMES,),
        ),
        Command("go", "let stopped batches go on", go, (_NAME, *SERVER), (_NAMES,)),
        Command(
            "delete",
            "forget batches, with their tasks and their output",
            delete,
            (Option(("-f", "--force"), "also tasks that others wait for"), _NAME, *SERVER),
            (_NAMES,),
        ),
        Command(
            "usage",
            "say what the tasks of batches used, and what to ask next time",
            usage,
            (_NAME, JSON, *SERVER),
            (_NAMES,),
        ),
    ),
)
