"""`scitq manage attempt …`."""

from argparse import Namespace

from scitq.shell.columns import LISTING, LONG, print_list
from scitq.shell.connect import SERVER, client_of
from scitq.shell.selection import SELECTION, TASKS, conditions
from scitq.shell.tree import Command, Group

_SHORT = ("task", "attempt", "status", "worker", "started_at", "ended_at", "class_", "exit_code", "signal", "reason")
_LONG = (
    *("assigned_at", "staging_seconds", "run_seconds", "upload_seconds", "suspended_seconds", "cpu_seconds"),
    *("peak_memory", "peak_disk", "read_bytes", "written_bytes", "bytes_in", "bytes_out"),
    *("stdout", "stderr", "versions", "stored", "epoch"),
)


def list_attempts(given: Namespace) -> int:
    """The attempts at the tasks for which all that is given holds; at all tasks when nothing is."""
    with client_of(given) as client:
        print_list(given, client.attempts(**conditions(given)), _SHORT, _LONG)
    return 0


ATTEMPT = Group(
    "attempt",
    "one try at a task",
    (Command("list", "list attempts", list_attempts, (*SELECTION, LONG, *LISTING, *SERVER), (TASKS,)),),
)
