"""`scitq node …` (`scitq-worker [SERVER [CONCURRENCY]]`)."""

from argparse import Namespace
from pathlib import Path

from scitq.config import local_paths, resolve
from scitq.errors import UsageError
from scitq.shell import values
from scitq.shell.connect import STATE
from scitq.shell.tree import Argument, Command, Kind, Option


def node(given: Namespace) -> int:
    """Be a worker, in the foreground."""
    from scitq.node.main import run
    from scitq.node.settings import Settings

    for place, option in (("at", "server"), ("tasks", "concurrency")):
        if getattr(given, place) is not None and getattr(given, option) is not None:
            raise UsageError(f"the {option} is given twice: by its place and by --{option}")
    concurrency = given.concurrency if given.tasks is None else given.tasks
    chosen = {
        "name": given.name,
        "concurrency": concurrency,
        "prefetch": given.prefetch,
        "batch": given.batch,
        "grace": given.grace,
        "path": given.path,
        "data": given.data,
    }
    return run(
        Settings(
            server=resolve(given.server or given.at, access=given.access, state=given.state),
            scratch=Path(given.scratch) if given.scratch else local_paths(given.state).scratch,
            **{name: value for name, value in chosen.items() if value is not None},
        )
    )


NODE = Command(
    "node",
    "run tasks on this machine (scitq-worker)",
    node,
    (
        Option(("-n", "--name"), "its name (the host's)", values.NAME),
        Option(("-C", "--concurrency"), "run so many tasks at once (as before, or 1)", values.POSITIVE),
        Option(("-p", "--prefetch"), "stage so many more meanwhile (as before, or 0)", values.COUNT),
        Option(("-b", "--batch"), "run the tasks of this batch (as before, or Default; *: of all)", values.BATCH),
        Option(("--scratch",), "the folder where its tasks work", values.FOLDER),
        Option(("--path",), "where tasks find programs (the standard PATH of the system)", values.TEXT),
        Option(("--data",), "the folder that tasks see as /data (/data if there is one)", values.FOLDER),
        Option(("--grace",), "start nothing more after so long without the broker (300)", values.SECONDS),
        Option(("-s", "--server"), "the server: the name of an access file, or an address", values.SERVER),
        Option(("--access",), "the access file to use", values.FILE),
        STATE,
    ),
    (
        Argument("at", "the server too", values.SERVER, "?"),
        Argument("tasks", "the concurrency too", Kind("CONCURRENCY", values.POSITIVE.parse), "?"),
    ),
)
