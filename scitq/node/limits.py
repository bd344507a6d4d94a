"""The kernel's limits on commands that ask for cpus or memory: cgroups for each attempt, where they may be made.

In v1 they lie in the agent's own cgroup. In v2 a cgroup has either processes or limited cgroups below it: there they
lie in a folder `scitq` beside the agent's own, or further up, but never past a limit that holds for the agent. In
either a folder `scitq` that somebody made for this user serves too.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from scitq.node.cgroups import UNIFIED, Cgroups, kill_members, read, seen_above
from scitq.node.say import say

CONTROLLERS = ("memory", "cpu")
PERIOD_US = 100_000  # in which a quota of processor time is counted
LEAST_QUOTA_US = 1_000
PATIENCE = 5.0  # seconds
_SHARED = "scitq"
_NO_LIMIT = 1 << 60  # v1 writes a page-rounded 2^63 - 1 where there is no limit
_ATTEMPT = re.compile(r"[0-9.]+")
_OPTIONAL = ("memory.swap.max", "memory.memsw.limit_in_bytes")  # absent where the kernel does not count swap


class Place(NamedTuple):
    """Where cgroups may be made: the hierarchy, and the folder of it."""

    hierarchy: str
    folder: str


class Limits:
    """The cgroups of one worker's attempts in one mesh."""

    def __init__(self, worker: str, mesh: str, root: str = "") -> None:
        self._prefix = f"scitq-{worker}-{mesh}-"
        self._root = root
        self._places: dict[str, Place] | None = None  # by controller, once it is known

    def make(self, name: str, cpu: float, mem: int) -> tuple[tuple[str, str], ...]:
        """Make the cgroups of an attempt, for cores and bytes, 0 for no limit: hierarchy and folder of each.

        What cannot be limited here is left out.
        """
        if not cpu and not mem:
            return ()
        settings: dict[Place, list[tuple[str, str]]] = {}
        for controller, wanted in (("memory", mem), ("cpu", cpu)):
            if wanted and (place := self._known().get(controller)):
                own = Place(place.hierarchy, f"{place.folder}/{self._prefix}{name}")
                settings.setdefault(own, []).extend(_settings(own.hierarchy, controller, wanted))
        try:
            for own, files in settings.items():
                os.makedirs(own.folder, exist_ok=True)
                for file, text in files:
                    _write(f"{own.folder}/{file}", text)
        except OSError as problem:
            say(f"attempt {name} has no limits of the kernel's: {problem}")
            remove(settings)
            return ()
        return tuple(settings)

    def left_by(self, others: set[str]) -> list[tuple[str, str]]:
        """What an earlier agent left of other attempts than these."""
        left = []
        for controller in (*CONTROLLERS, UNIFIED):
            for folder in _candidates(controller, self._root):
                names = os.listdir(folder) if os.path.isdir(folder) else []
                left += [(controller, f"{folder}/{name}") for name in names if self._is_left(name, others)]
        return left

    def _is_left(self, name: str, others: set[str]) -> bool:
        attempt = name.removeprefix(self._prefix)
        return attempt != name and _ATTEMPT.fullmatch(attempt) is not None and attempt not in others

    def _known(self) -> dict[str, Place]:
        if self._places is None:
            self._places = places(self._root)
            if "memory" not in self._places:
                say("no cgroup can limit memory here: a task that passes its --mem is seen and ended after a second")
            if "cpu" not in self._places:
                say("no cgroup can limit cpus here: without a container nothing holds a task to its --cpu")
        return self._places


def remove(cgroups: Cgroups) -> bool:
    """Remove the cgroups of an attempt; whether they are gone, and else whoever is in them has been killed."""
    return all(_is_gone(folder) for _, folder in cgroups)


def remove_patiently(cgroups: Cgroups) -> None:
    """The same, in any thread, until they are gone: who was killed may take a moment."""
    deadline = time.monotonic() + PATIENCE
    while not remove(cgroups):
        if time.monotonic() > deadline:
            say(f"left for the next start, there are processes that do not die: {[folder for _, folder in cgroups]}")
            return
        time.sleep(0.01)


def places(root: str = "") -> dict[str, Place]:
    """Where limits may be made now, by controller."""
    found: dict[str, Place] = {}
    unified = []
    for controller in CONTROLLERS:
        folders = seen_above(controller, root)
        if not folders:
            unified.append(controller)
        elif _may_come_back(folders[0]):
            usable = filter(_may_enter, _candidates(controller, root))
            if folder := next(usable, ""):
                found[controller] = Place(controller, folder)
    for wanted in (unified, [one for one in unified if one == "memory"]):
        if wanted and (place := _unified(wanted, root)):
            return found | dict.fromkeys(wanted, place)
    return found


def _candidates(hierarchy: str, root: str) -> Iterator[str]:
    """Folders that may take cgroups of attempts, the nearest first, those that are still to be made among them."""
    for number, folder in enumerate(seen_above(hierarchy, root)):
        if hierarchy != UNIFIED and number == 0:
            yield folder
        if hierarchy != UNIFIED or number or folder == f"{root}/sys/fs/cgroup":
            yield f"{folder}/{_SHARED}"
        if _is_limited(folder):
            return


def _unified(controllers: list[str], root: str) -> Place | None:
    """A folder of v2 that limits these below it, made if need be."""
    home = seen_above(UNIFIED, root)[:1]
    for folder in _candidates(UNIFIED, root):
        parent = os.path.dirname(folder)
        if not (_may_enter(parent) and _may_come_back(home[0])):  # to move is for who may write what is above both
            continue
        is_new = not os.path.isdir(folder)
        try:
            _enable(parent, controllers)
            os.makedirs(folder, exist_ok=True)
            _enable(folder, controllers)
        except OSError:
            if is_new:
                with suppress(OSError):
                    os.rmdir(folder)
            continue
        return Place(UNIFIED, folder)
    return None


def _enable(folder: str, controllers: list[str]) -> None:
    """Have these controllers in the cgroups below a folder."""
    path = f"{folder}/cgroup.subtree_control"
    if missing := [one for one in controllers if one not in read(path).split()]:
        _write(path, " ".join(f"+{one}" for one in missing))


def _settings(hierarchy: str, controller: str, wanted: float) -> list[tuple[str, str]]:
    """The files of a cgroup and what is to be written to them."""
    if controller == "cpu":
        quota = max(LEAST_QUOTA_US, int(wanted * PERIOD_US))
        if hierarchy == UNIFIED:
            return [("cpu.max", f"{quota} {PERIOD_US}")]
        return [("cpu.cfs_period_us", str(PERIOD_US)), ("cpu.cfs_quota_us", str(quota))]
    if hierarchy == UNIFIED:
        return [("memory.max", str(wanted)), ("memory.swap.max", "0")]
    return [("memory.limit_in_bytes", str(wanted)), ("memory.memsw.limit_in_bytes", str(wanted))]


def _write(path: str, text: str) -> None:
    if path.endswith(_OPTIONAL) and not os.path.exists(path):
        return
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _may_enter(folder: str) -> bool:
    return os.access(folder, os.W_OK) and _may_come_back(folder)


def _may_come_back(folder: str) -> bool:
    return os.access(f"{folder}/cgroup.procs", os.W_OK)


def _is_limited(folder: str) -> bool:
    quota = read(f"{folder}/cpu.max") or read(f"{folder}/cpu.cfs_quota_us")
    memory = read(f"{folder}/memory.max") or read(f"{folder}/memory.limit_in_bytes")
    return quota.split()[:1] not in ([], ["max"], ["-1"]) or (memory.isdigit() and int(memory) < _NO_LIMIT)


def _is_gone(folder: str) -> bool:
    """Remove a cgroup, or kill whoever is in it: the next try finds it empty."""
    kill_members(folder)
    with suppress(OSError):
        os.rmdir(folder)
    return not os.path.isdir(folder)
