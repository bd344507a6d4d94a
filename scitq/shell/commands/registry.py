"""`scitq manage registry …`."""

import getpass
import sys
from argparse import Namespace

from scitq.errors import UsageError
from scitq.shell import values
from scitq.shell.columns import LISTING, print_list
from scitq.shell.connect import SERVER, client_of
from scitq.shell.render import one_line
from scitq.shell.tree import Argument, Command, Group, Option

_REGISTRY = Argument("registry", "its host, or host:port; docker.io for Docker Hub", values.TEXT)


def login(given: Namespace) -> int:
    """Have the workers pull from a registry as this user."""
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password of {given.user} at {given.registry}: ")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise UsageError("no password was given: it is asked for on a terminal, or read from the first line of stdin")
    with client_of(given) as client:
        client.registry_login(given.registry, given.user, password)
    print(one_line(f"workers pull from {given.registry} as {given.user} from now on"))
    return 0


def list_registries(given: Namespace) -> int:
    """The registries that workers log in to."""
    with client_of(given) as client:
        print_list(given, client.registry_list(), ("registry", "user", "added_at"))
    return 0


def logout(given: Namespace) -> int:
    """Have the workers log in to a registry no more."""
    with client_of(given) as client:
        client.registry_logout(given.registry)
    print(one_line(f"workers do not log in to {given.registry} any more"))
    return 0


_USER = Option(("-u", "--user"), "the user's name there", values.TEXT, needed=True)

REGISTRY = Group(
    "registry",
    "where workers log in to pull images",
    (
        Command(
            "login",
            "have workers pull as this user; the password is asked for, or read from stdin",
            login,
            (_USER, *SERVER),
            (_REGISTRY,),
        ),
        Command("list", "list registries", list_registries, (*LISTING, *SERVER)),
        Command("logout", "have workers log in no more", logout, SERVER, (_REGISTRY,)),
    ),
)
