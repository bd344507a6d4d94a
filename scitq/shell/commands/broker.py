"""`scitq broker …`: the service in the foreground, and what looks after its state."""

from argparse import Namespace

from scitq.config import local_paths, make_private, parse_address
from scitq.shell import values
from scitq.shell.connect import STATE
from scitq.shell.tree import Command, Group, Option


def serve(given: Namespace) -> int:
    """Be a broker, in the foreground; whoever owns the state reaches it without a key, too."""
    from scitq.broker.main import DEFAULT_BIND, DEFAULT_GRACE, run

    paths = local_paths(given.state)
    bind = parse_address(given.bind) if given.bind else DEFAULT_BIND
    return run(paths.state, tuple(dict.fromkeys((bind, paths.address))), given.grace or DEFAULT_GRACE)


def check(given: Namespace) -> int:
    """Say what."""
    return 0


BROKER = Group(
    "broker",
    "serve a mesh, or look after its state",
    (Command("check", "say whether a state is sound", check, (STATE,)),),
    alone=Command(
        "broker",
        "serve a mesh",
        serve,
        (
            STATE,
            Option(("--bind",), "where to listen: tcp://HOST:PORT (tcp://127.0.0.1:5555)", values.SERVER),
            Option(("--grace",), "call a silent worker lost after so long (300)", values.SECONDS),
        ),
    ),
)
