"""The options that name a server, and the client they make."""

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from scitq.shell import values
from scitq.shell.render import one_line
from scitq.shell.tree import Option

if TYPE_CHECKING:
    from scitq.client import Client
    from scitq.config import Server

STATE = Option(("--state",), "the folder of the local mesh, when it is not the usual one", values.FOLDER)
SERVER = (
    Option(("-s", "--server"), "the server: the name of an access file, or an address", values.SERVER),
    Option(("--access",), "the access file to use", values.FILE),
    STATE,
)
JSON = Option(("--json",), "print one JSON array of objects")


def server_of(given: Namespace) -> "Server":
    """The server that the options, the environment and the configuration name."""
    from scitq.config import resolve  # not before: many commands know no server, and are over in less time

    return resolve(given.server, access=given.access, state=given.state)


def client_of(given: Namespace) -> "Client":
    """A client of that server; what it has to tell the user goes to stderr."""
    from scitq.client import Client

    return Client(server_of(given), notice=say)


def say(line: str) -> None:
    """Tell the user something that is not the result."""
    print(f"scitq: {one_line(line)}", file=sys.stderr, flush=True)


def same_server(given: Namespace) -> str:
    """The words that name the same server in another command, with a space before each."""
    from scitq.shell.render import command_line

    named = (("-s", given.server), ("--access", given.access), ("--state", given.state))
    return "".join(f" {command_line((flag, value))}" for flag, value in named if value is not None)
