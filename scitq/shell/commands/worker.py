"""`scitq manage worker …`."""

from argparse import Namespace
from typing import Any

from scitq.errors import UsageError
from scitq.shell import values
from scitq.shell.columns import LISTING, LONG, print_list
from scitq.shell.connect import SERVER, client_of
from scitq.shell.outcome import tell_left
from scitq.shell.render import one_line, size
from scitq.shell.tree import Argument, Command, Group, Option

_WORKERS = Argument("workers", "their names or ids", values.WORKER, "*")
_NAMES = (
    Option(("-n", "--name"), "a name too; may be given several times", values.WORKER, many=True),
    Option(("-i", "--id"), "an id too; may be given several times", values.WORKER, many=True),
)
_SHORT = (
    *("name", "status", "paused", "tags", "batch", "concurrency", "prefetch"),
    *("running", "held", "succeeded", "failed"),
)
_RESOURCE = ("uri", "status", "size", "files", "in_use", "used_at")
_RESOURCE_LONG = ("fetched_at", "version")
_LONG = ("id", "hostname", "cpus", "memory", "gpus", "disk", "engine", "version", "joined_at", "seen_at")


def list_workers(given: Namespace) -> int:
    """Every worker, or those of a batch or in a state."""
    with client_of(given) as client:
        found = [
            worker
            for worker in client.workers()
            if given.batch in (None, worker.batch)
            and given.status in (None, worker.status, "paused" if worker.paused else None)
        ]
        print_list(given, found, _SHORT, _LONG)
    return 0


def update(given: Namespace) -> int:
    """Change workers while they work."""
    changes = {"concurrency": given.concurrency, "prefetch": given.prefetch, "batch": given.batch}
    changes = {name: value for name, value in changes.items() if value is not None}
    if not changes:
        raise UsageError("nothing to change: give -C, -p or -b")
    return _update(given, "changed", changes)


def pause(given: Namespace) -> int:
    """Let workers start no more tasks."""
    return _update(given, "paused: it starts no more tasks", {"paused": True})


def resume(given: Namespace) -> int:
    """Let paused workers go on."""
    return _update(given, "goes on", {"paused": False})


def delete(given: Namespace) -> int:
    """Dismiss workers."""
    with client_of(given) as client:
        for name in _named(given):
            tell_left(client.worker_delete(name, force=given.force))
            print(one_line(f"worker {name} deleted"), flush=True)
    return 0


def resources(given: Namespace) -> int:
    """The resources that are on a worker, or on their way to it."""
    with client_of(given) as client:
        print_list(given, client.worker_resources(given.worker), _RESOURCE, _RESOURCE_LONG)
    return 0


def clean(given: Namespace) -> int:
    """Remove what failed tasks left on workers."""
    with client_of(given) as client:
        for name in _named(given):
            done = client.worker_clean(name)
            what = f"{done.folders} folder{'' if done.folders == 1 else 's'} of tasks removed"
            print(one_line(f"worker {name}: {what}, {size(done.bytes)}"), flush=True)
    return 0


def _update(given: Namespace, result: str, changes: dict[str, Any]) -> int:
    with client_of(given) as client:
        for name in _named(given):
            client.worker_update(name, **changes)
            print(one_line(f"worker {name} {result}"), flush=True)
    return 0


def _named(given: Namespace) -> tuple[str, ...]:
    names: tuple[str, ...] = tuple(dict.fromkeys((*given.workers, *given.name, *given.id)))
    if not names:
        raise UsageError("which worker? give its name")
    return names


WORKER = Group(
    "worker",
    "a machine, or a part of one, that runs tasks",
    (
        Command(
            "list",
            "list workers",
            list_workers,
            (
                Option(("-b", "--batch"), "the workers of this batch", values.BATCH),
                Option(
                    ("-S", "--status"),
                    "the workers in this state",
                    values.TEXT,
                    choices=("online", "offline", "lost", "paused"),
                ),
                LONG,
                *LISTING,
                *SERVER,
            ),
        ),
        Command(
            "update",
            "change how much workers do, and for which batch",
            update,
            (
                Option(("-C", "--concurrency"), "run so many tasks at once", values.COUNT),
                Option(("-p", "--prefetch"), "stage so many more meanwhile", values.COUNT),
                Option(("-b", "--batch"), "run the tasks of this batch (*: of all)", values.BATCH),
                *_NAMES,
                *SERVER,
            ),
            (_WORKERS,),
        ),
        Command(
            "delete",
            "dismiss workers",
            delete,
            (Option(("-f", "--force"), "also while they hold tasks"), *_NAMES, *SERVER),
            (_WORKERS,),
        ),
        Command(
            "resources",
            "list the resources that are on a worker",
            resources,
            (LONG, *LISTING, *SERVER),
            (Argument("worker", "its name or id", values.WORKER),),
        ),
        Command(
            "clean",
            "remove what failed tasks left on workers",
            clean,
            (*_NAMES, *SERVER),
            (_WORKERS,),
        ),
        Command("pause", "let workers start no more tasks", pause, (*_NAMES, *SERVER), (_WORKERS,)),
        Command("resume", "let paused workers go on", resume, (*_NAMES, *SERVER), (_WORKERS,)),
    ),
)
