"""`scitq fetch …` (`scitq-fetch …`)."""

from argparse import Namespace

from scitq.errors import ScitqError, UsageError
from scitq.shell import values
from scitq.shell.render import one_line
from scitq.shell.tree import Argument, Command, Group


def copy(given: Namespace) -> int:
    """Fetch an address into a folder of this machine."""
    from scitq.fetch import FetchError, UriError, get, parse

    try:
        target = parse(given.target or ".")
    except UriError as problem:
        raise UsageError(str(problem)) from None
    if target.scheme != "file" or target.actions:
        raise UsageError(f"{given.target}: only a folder of this machine can be copied to yet")
    try:
        done = get(given.source, target.path)
    except FetchError as problem:
        raise ScitqError(str(problem)) from None
    for name in done.names:
        print(one_line(name))
    return 0


FETCH = Group(
    "fetch",
    "move data between storages",
    (
        Command(
            "copy",
            "copy a file, or with a final / a folder, into a folder",
            copy,
            arguments=(
                Argument("source", "where from", values.URI),
                Argument("target", "the folder to copy into (the current one)", values.URI, "?"),
            ),
        ),
    ),
)
