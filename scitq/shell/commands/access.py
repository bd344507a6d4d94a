"""`scitq manage access …`."""

from argparse import Namespace
from pathlib import Path

from scitq.config import ROLES, write_access
from scitq.errors import Conflict
from scitq.shell import values
from scitq.shell.columns import LISTING, print_list
from scitq.shell.connect import SERVER, client_of
from scitq.shell.render import one_line
from scitq.shell.tree import Argument, Command, Group, Option

_NAME = Argument("name", "the key's name; for a worker its own, or a prefix", values.NAME)


def create(given: Namespace) -> int:
    """Have a new key accepted, and write its access file."""
    path = Path(given.out)
    if path.exists() or path.is_symlink():  # before the key exists, which nobody would hold
        raise Conflict(f"{path} exists already: keys are never overwritten, name another file")
    with client_of(given) as client:
        access = client.access_create(given.name, given.role, address=given.address)
        try:
            write_access(path, access)
        except BaseException:
            client.access_revoke(given.name)
            raise
    print(one_line(f"{path}: the key of {given.role} {given.name}, for {access.address}"))
    return 0


def list_keys(given: Namespace) -> int:
    """Every key that was ever accepted."""
    with client_of(given) as client:
        print_list(given, client.access_list(), ("name", "role", "created_at", "revoked_at", "key"))
    return 0


def revoke(given: Namespace) -> int:
    """Accept a key no more."""
    with client_of(given) as client:
        client.access_revoke(given.name)
    print(one_line(f"{given.name} is revoked: it is refused from now on"))
    return 0


_ROLE = Option(("--role",), "what it may do", values.TEXT, choices=ROLES, needed=True)

ACCESS = Group(
    "access",
    "the keys that the broker accepts",
    (
        Command(
            "create",
            "have a new key accepted",
            create,
            (
                _ROLE,
                Option(("--out",), "the access file to write, for its owner only", values.FILE, needed=True),
                Option(
                    ("--address",),
                    "where its owner reaches the broker, when it is not where you do",
                    values.SERVER,
                ),
                *SERVER,
            ),
            (_NAME,),
        ),
        Command("list", "list keys", list_keys, (*LISTING, *SERVER)),
        Command("revoke", "accept a key no more", revoke, SERVER, (_NAME,)),
    ),
)
