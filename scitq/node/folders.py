"""The folders of tasks: `<scratch>/tasks/<name>/{input,output,tmp,resource}`.

Making and removing the five costs as much as starting a process: what a task left untouched is given, under a new
name, to a later one.
"""

import os
import shutil
import stat
from collections.abc import Callable

from scitq.node.environment import Owner

PARTS = ("input", "output", "tmp", "resource")
OPEN_MODES = {"input": 0o777, "output": 0o777, "tmp": 0o1777, "resource": 0o755}
ARRIVING = "arriving"  # in a folder being staged: inputs that are not all here yet
STAGING = ".staging-"  # no task has seen such a folder
GONE = ".gone-"  # being removed
_SPARE_LIMIT = 64


class Folders:
    """All task folders of one scratch."""

    def __init__(self, tasks: str, insist: Callable[[str], None] | None = None) -> None:
        """`tasks` is made if need be. `insist` removes a folder with what this user may not."""
        os.makedirs(tasks, mode=0o711, exist_ok=True)
        self._tasks = tasks
        self._insist = insist
        self._spare: list[str] = []
        self._own = (os.geteuid(), os.getegid())

    def path(self, name: str) -> str:
        """Where the folder of this attempt is, or would be."""
        return f"{self._tasks}/{name}"

    def staging(self, name: str) -> str:
        """Where the folder of this attempt is until its command is about to start: a death leaves it worthless."""
        return f"{self._tasks}/{STAGING}{name}"

    def filled(self, name: str) -> tuple[str, ...]:
        """All folders that are filled for an attempt, or by it, by either name; resources are not its own."""
        parts = [ARRIVING, *(part for part in PARTS if part != "resource")]
        return tuple(f"{path}/{part}" for path in (self.staging(name), self.path(name)) for part in parts)

    def begin(self, name: str) -> str:
        """An empty folder of an attempt to be staged, but for inputs that an agent before left on their way in it."""
        path = self.staging(name)
        for part in PARTS:
            remove(f"{path}/{part}")
        make_parts(path)
        return path

    def staged(self, name: str) -> str:
        """Give a filled folder its last name; returns its path."""
        path = self.path(name)
        os.rename(self.staging(name), path)
        return path

    def unstaged(self, name: str) -> None:
        """Take the last name from a folder whose command was not started after all."""
        os.rename(self.path(name), self.staging(name))

    def make(self, name: str) -> str:
        """An empty folder of the agent's own user; returns its path."""
        path = self.path(name)
        while self._spare:
            try:
                os.rename(self._spare.pop(), path)
            except FileNotFoundError:
                continue
            return path
        make_parts(path)
        return path

    def make_for(self, name: str, owner: Owner) -> str:
        """An empty folder of another user; returns its path."""
        path = self.path(name)
        make_parts(path)
        give(path, owner)
        return path

    def untouched(self, name: str) -> bool:
        """Whether the folder of this attempt is as it was made: then it may be taken back."""
        return self._untouched(self.path(name))

    def take_back(self, name: str) -> bool:
        """Keep an untouched folder for a later task; False when there are enough, and it has to be removed."""
        if len(self._spare) >= _SPARE_LIMIT:
            return False
        self._spare.append(self.path(name))
        return True

    def remove(self, name: str) -> None:
        """Remove the folder of this attempt, whatever name it has by now."""
        for path in (self.path(name), self.staging(name)):
            remove(path)
            if self._insist is not None and os.path.lexists(path):
                self._insist(path)

    def sweep(self, held: set[str]) -> None:
        """Remove what an earlier agent left that holds nothing of value, inputs on their way being of some."""
        for entry in list(os.scandir(self._tasks)):
            if entry.name in held or not entry.is_dir(follow_symlinks=False):
                continue
            half = entry.name.startswith(STAGING) and not os.path.isdir(f"{entry.path}/{ARRIVING}")
            if half or entry.name.startswith(GONE) or self._untouched(entry.path):
                remove(entry.path)

    def _untouched(self, path: str) -> bool:
        """Whether a folder is as it was made: its parts, theirs its user and mode, and nothing in them."""
        try:
            with os.scandir(path) as found:
                parts = list(found)
            if len(parts) != len(PARTS):
                return False
            for part in parts:
                status = part.stat(follow_symlinks=False)
                if (
                    part.name not in PARTS
                    or status.st_mode != stat.S_IFDIR | 0o700
                    or (status.st_uid, status.st_gid) != self._own
                    or os.listdir(part.path)
                ):
                    return False
        except OSError:
            return False
        return True


def make_parts(path: str) -> None:
    """Make a task's folder and its parts; one that exists already is completed."""
    for folder in (path, *(f"{path}/{part}" for part in PARTS)):
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            continue


def open_to_all(path: str) -> None:
    """Let whoever an image names write in the parts of a task's folder; nobody else comes as far as there."""
    os.chmod(path, 0o700)
    for part, mode in OPEN_MODES.items():
        os.chmod(f"{path}/{part}", mode)


def give(path: str, owner: Owner) -> None:
    """Make all that lies in a folder a user's own, but the resources, which all tasks share."""
    for here, folders, files in os.walk(path):
        os.chown(here, owner.uid, owner.gid)
        for file in files:
            os.chown(f"{here}/{file}", owner.uid, owner.gid, follow_symlinks=False)
        if here == path and "resource" in folders:
            folders.remove("resource")
            os.chown(f"{path}/resource", owner.uid, owner.gid)


def remove(path: str) -> None:
    """Remove a folder and all in it, whatever modes a task left there, if it is there; what resists stays."""

    def unlock(function: object, resisting: str, problem: object) -> None:
        """A folder that its owner may not write is opened, and what is in it goes in a second try."""
        try:
            if resisting != path:  # what lies above is not the task's
                os.chmod(os.path.dirname(resisting), 0o700)
            if os.path.isdir(resisting) and not os.path.islink(resisting):
                os.chmod(resisting, 0o700)
                shutil.rmtree(resisting, ignore_errors=True)
            else:
                os.unlink(resisting)
        except OSError:
            return

    shutil.rmtree(path, onerror=unlock)
