"""What a task finds in its environment without a container, and as whom it runs."""

import os
import pwd
import socket
from collections.abc import Mapping

from msgspec import Struct

from scitq.errors import ScitqError
from scitq.model import Spec
from scitq.node.gpus import variables
from scitq.node.means import Share

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Owner(Struct, frozen=True):
    """The user that a task runs as and its folders belong to."""

    uid: int
    gid: int
    name: str
    home: str


class ImpossibleOwner(ScitqError):
    """This agent may not run a task as that user."""


def owner_of(spec: Spec) -> Owner | None:
    """As whom the task runs; None is the agent's own user, named or not. ImpossibleOwner when it takes root.

    In a container anybody may be run; only to give its folders away takes root.
    """
    if (spec.uid is None and spec.gid is None) or (spec.container and os.geteuid() != 0):
        return None
    uid = os.getuid() if spec.uid is None else spec.uid
    name, home, group = _user(uid)
    gid = group if spec.gid is None else spec.gid
    if os.geteuid() != 0:
        if (uid, gid) == (os.getuid(), os.getgid()):
            return None  # even to stay the same, groups are set by root alone
        raise ImpossibleOwner(
            f"cannot run as uid {uid}, gid {gid}: this worker runs as uid {os.getuid()}, gid {os.getgid()}, "
            "and only root may change that (leave -u and -g out, or start the worker as root)"
        )
    return Owner(uid, gid, name, home)


def user_of_container(spec: Spec, image_user: str) -> str:
    """Docker's `--user` for the task, "" for the image's own; `image_user` is the one that its image names."""
    if spec.uid is not None:
        return f"{spec.uid}:{_user(spec.uid)[2] if spec.gid is None else spec.gid}"
    if spec.gid is not None:
        return f"{image_user.partition(':')[0] or 0}:{spec.gid}"
    return ""


class Environment:
    """Makes the whole environment of a task; what all tasks share is made once."""

    def __init__(self, path: str = STANDARD_PATH) -> None:
        """`path` is the PATH of the tasks."""
        name, home, _ = _user(os.getuid())
        self._shared = _encoded({
            "PATH": path,
            "HOME": os.environ.get("HOME") or home,
            "LANG": os.environ.get("LANG") or "C.UTF-8",
            "USER": name,
            "HOSTNAME": socket.gethostname(),
        })  # fmt: skip

    def of(self, spec: Spec, owner: Owner | None, folder: str, share: Share) -> dict[bytes, bytes]:
        """The variables of one task; its own stand last, and win."""
        environment = self._shared.copy()
        if owner is not None:
            environment[b"HOME"] = os.fsencode(owner.home)
            environment[b"USER"] = os.fsencode(owner.name)
        base = os.fsencode(folder)
        environment[b"INPUT"] = base + b"/input"
        environment[b"OUTPUT"] = base + b"/output"
        environment[b"RESOURCE"] = base + b"/resource"
        environment[b"TEMP"] = base + b"/tmp"
        environment[b"CPU"] = b"%d" % share.cpus
        environment[b"MEM"] = b"%d" % share.mem
        if share.gpus:
            environment.update(_encoded(variables(share.gpus)))
        if spec.env:
            environment.update(_encoded(spec.env))
        return environment


def _user(uid: int) -> tuple[str, str, int]:
    """Name, home and group of a user; one that the system does not know has its number for name and group."""
    try:
        user = pwd.getpwuid(uid)
    except (KeyError, OverflowError):
        return str(uid), "/", uid
    return user.pw_name, user.pw_dir, user.pw_gid


def _encoded(variables: Mapping[str, str | bytes]) -> dict[bytes, bytes]:
    return {os.fsencode(name): encoded(value) for name, value in variables.items()}


def encoded(word: str | bytes) -> bytes:
    """A word as `execve` takes it."""
    return word if type(word) is bytes else os.fsencode(word)
