"""What is done before a command, in a thread: bring its inputs and resources."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from scitq.fetch import Fetched, FetchError, Seen, Stopped, TimedOut, look
from scitq.fetch.parallel import each
from scitq.fetch.storage import Watch
from scitq.model import Class, Spec
from scitq.node import folders
from scitq.node.arrivals import Arrivals
from scitq.node.disk import Disk, expected, is_full
from scitq.node.environment import Owner
from scitq.node.folders import ARRIVING, Folders
from scitq.node.job import Staged
from scitq.node.leftovers import Leftovers
from scitq.node.progress import Item, Progress, of_resource
from scitq.node.resources.cache import Brought, Resources

PARALLEL = 4  # addresses of one task at once
STAGING_PAUSES = (1.0, 4.0, 15.0)  # seconds between the tries of one address

R = TypeVar("R")


class NotStaged(Exception):
    """Why a task cannot have what it needs: the class of its outcome and one line."""

    def __init__(self, class_: Class, reason: str, staged: Staged) -> None:
        super().__init__(reason)
        self.class_: Class = class_
        self.reason = reason
        self.staged = staged


class Store(NamedTuple):
    """Where a worker puts what its tasks need."""

    folders: Folders
    leftovers: Leftovers
    resources: Resources
    disk: Disk
    progress: Progress


def stage(name: str, spec: Spec, owner: Owner | None, store: Store, stop: threading.Event) -> Staged:
    """Make the folder of a task with all it needs, under its name of staging; under its last one on failure.

    Raises NotStaged.
    """
    staging = _Staging(name, spec, store, stop)
    path = store.folders.staging(name)
    try:
        staging.bring()
        if owner is not None:
            folders.give(path, owner)
    except (FetchError, OSError) as error:
        store.disk.enter(name)  # until it is told, and what came may go
        store.disk.came(name)
        store.resources.release(name)
        if os.path.isdir(path):
            os.rename(path, store.folders.path(name))
        if isinstance(error, OSError):
            raise NotStaged("download", f"{error.filename or path}: {error.strerror}", staging.staged) from None
        class_: Class = "timeout" if isinstance(error, TimedOut) else "download"
        raise NotStaged(class_, error.reason, staging.staged) from None
    return staging.staged


class _Group(threading.Event):
    """A stop for all that is brought for one task: what one of them meets ends the others."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop

    def is_set(self) -> bool:
        """Whether they have to end."""
        return super().is_set() or self._stop.is_set()


class _Staging:
    """One task's: first resources, for which no room of its own is held meanwhile, then its own room, then inputs."""

    def __init__(self, name: str, spec: Spec, store: Store, stop: threading.Event) -> None:
        self._name = name
        self._spec = spec
        self._store = store
        self._stop = stop
        self._group = _Group(stop)
        self._begin = time.monotonic()
        self._bytes = 0
        self._versions: dict[str, str] = {}

    @property
    def staged(self) -> Staged:
        """What was brought so far."""
        return Staged(time.monotonic() - self._begin, self._bytes, dict(self._versions))

    def bring(self) -> None:
        """Make and fill the folder; raises FetchError, OSError."""
        inputs, resources = tuple(dict.fromkeys(self._spec.inputs)), tuple(dict.fromkeys(self._spec.resources))
        path = self._store.folders.begin(self._name)
        self._store.leftovers.hand_over(self._name, path)
        arrivals = Arrivals(f"{path}/{ARRIVING}")
        if self._spec.disk:
            self._store.disk.check(self._spec.disk)
        self._each("resources are here", resources, self._resource)
        seen = dict(zip(inputs, self._each("inputs are looked at", inputs, self._look), strict=True))
        _refuse_taken(seen)
        self._reserve(arrivals, seen)
        try:
            self._each("inputs are here", inputs, lambda uri: self._input(arrivals, uri, seen[uri]))
        finally:
            self._store.disk.enter(self._name)  # before the reservation ends, or its room would seem nobody's
            if not self._spec.disk:
                self._store.disk.came(self._name)
        for uri in inputs:
            arrivals.land(uri, f"{path}/input")
        for uri in resources:
            self._store.resources.link(self._name, uri, f"{path}/resource")
        folders.remove(arrivals.folder)

    def _reserve(self, arrivals: Arrivals, seen: dict[str, Seen]) -> None:
        size = sum(expected(uri, one) for uri, one in seen.items())
        until = self._begin + (self._spec.download_timeout or float("inf"))
        own = self._spec.disk
        if not own and not seen:
            return
        with self._item("", 0) as item:
            if own:
                paths = self._store.folders.filled(self._name)
                self._store.disk.claim(self._name, paths, max(own, size), self._group, until, item.say)
            else:
                self._store.disk.reserve(self._name, arrivals.folder, size, self._group, until, item.say)

    def _item(self, what: str, total: int) -> Item:
        return self._store.progress.begin(self._name, what, total)

    def _look(self, uri: str) -> Seen:
        with self._item(uri, 0) as item:
            item.say("its source is asked")
            return self._patiently(uri, partial(look, uri, stop=self._group))

    def _resource(self, uri: str) -> Brought:
        bring = partial(self._store.resources.bring, uri, self._name, self._group)
        brought = self._patiently(of_resource(uri), bring)
        self._note(uri, brought.bytes, brought.version)
        return brought

    def _input(self, arrivals: Arrivals, uri: str, seen: Seen) -> Fetched:
        tries = iter((seen,))  # what failed once is looked at anew: it may have changed

        def bring(limit_s: float | None) -> Fetched:
            with self._item(uri, seen.bytes) as item:
                return arrivals.bring(uri, next(tries, None), self._group, limit_s, item.add)

        fetched = self._patiently(uri, bring)
        self._note(uri, fetched.bytes, fetched.version)
        return fetched

    def _note(self, uri: str, count: int, version: str) -> None:
        with _noting:
            self._bytes += count
            self._versions[uri] = version

    def _each(self, what: str, uris: Sequence[str], work: Callable[[str], R]) -> list[R]:
        """The results, in order; the first failure ends it. `what` there is to say of how many are done."""
        if len(uris) < 2:
            return [work(uri) for uri in uris]
        done: dict[str, R] = {}
        try:
            with self._item("", 0) as item:
                item.say(f"0 of {len(uris)} {what}")
                for uri, result in each(uris, work, PARALLEL, Watch(self._group)):
                    if isinstance(result, FetchError):
                        raise result
                    done[uri] = result
                    item.say(f"{len(done)} of {len(uris)} {what}")
        except BaseException:
            self._group.set()
            raise
        return [done[uri] for uri in uris]

    def _patiently(self, what: str, attempt: Callable[..., R]) -> R:
        """Try one address until it works, cannot work, or time is over; `attempt` takes `limit_s`, seconds."""
        limit = self._spec.download_timeout
        for pause in (*STAGING_PAUSES, None):
            left = None if limit is None else self._begin + limit - time.monotonic()
            if left is not None and left <= 0:
                raise TimedOut(f"its inputs were not here within {limit:g} s", retry=False)
            if self._group.is_set():
                raise Stopped("stopped", retry=False)
            try:
                return attempt(limit_s=left)
            except FetchError as error:
                final = not error.retry or isinstance(error, TimedOut) or is_full(error)
                if pause is None or final:
                    raise
                with self._item(what, 0) as item:
                    item.say(f"tried again in {pause:g} s: {error.reason}")
                    if self._stop.wait(pause):
                        raise
        raise AssertionError


_noting = threading.Lock()


def _refuse_taken(seen: dict[str, Seen]) -> None:
    """Raises FetchError when two inputs are known to have files of one name, before any of them is fetched."""
    taken: dict[str, str] = {}
    for uri, one in seen.items():
        if one.source.uri.actions:
            continue
        for entry in one.entries:
            if entry.name in taken:
                raise FetchError(f"{uri}: {entry.name} is already there, from another input", retry=False)
            taken[entry.name] = uri
