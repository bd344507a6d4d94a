"""What is done before and after a command, in a thread: bring its inputs and resources, store its results."""

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from scitq.fetch import FetchError, Stopped, TimedOut, get, put
from scitq.model import Class, Spec
from scitq.node import folders
from scitq.node.environment import Owner
from scitq.node.folders import Folders
from scitq.node.job import Staged, Uploaded
from scitq.node.resources import Resources

STAGING_PAUSES = (1.0, 4.0, 15.0)  # seconds between the tries of one address
UPLOAD_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0, 60.0)

Brought = TypeVar("Brought")


class NotStaged(Exception):
    """Why a task cannot have what it needs: the class of its outcome and one line."""

    def __init__(self, class_: Class, reason: str, staged: Staged) -> None:
        super().__init__(reason)
        self.class_: Class = class_
        self.reason = reason
        self.staged = staged


def stage(
    name: str,
    spec: Spec,
    owner: Owner | None,
    into: Folders,
    resources: Resources,
    stop: threading.Event,
) -> Staged:
    """Make the folder of a task with all it needs, under its name of staging; under its last one on failure.

    Raises NotStaged.
    """
    begin = time.monotonic()
    brought = 0
    versions: dict[str, str] = {}
    path = into.staging(name)

    def staged() -> Staged:
        return Staged(time.monotonic() - begin, brought, versions)

    try:
        folders.remove(path)
        folders.make_parts(path)
        for uri in spec.inputs:
            fetched = _patient(partial(get, uri, f"{path}/input", stop=stop), spec, begin, stop)
            brought += fetched.bytes
            versions[uri] = fetched.version
        for uri in spec.resources:
            link = partial(resources.link, uri, f"{path}/resource", stop)
            count, versions[uri] = _patient(link, spec, begin, stop)
            brought += count
        if owner is not None:
            folders.give(path, owner)
    except (FetchError, OSError) as error:
        if os.path.isdir(path):
            os.rename(path, into.path(name))
        if isinstance(error, OSError):
            raise NotStaged("download", f"{error.filename or path}: {error.strerror}", staged()) from None
        class_: Class = "timeout" if isinstance(error, TimedOut) else "download"
        raise NotStaged(class_, error.reason, staged()) from None
    return staged()


def _patient(attempt: Callable[..., Brought], spec: Spec, begin: float, stop: threading.Event) -> Brought:
    """Try one address until it works, cannot work, or time is over; `attempt` takes `limit_s`, seconds."""
    for pause in (*STAGING_PAUSES, None):
        left = None if spec.download_timeout is None else begin + spec.download_timeout - time.monotonic()
        if left is not None and left <= 0:
            raise TimedOut(f"its inputs were not here within {spec.download_timeout:g} s", retry=False)
        try:
            return attempt(limit_s=left)
        except FetchError as error:
            if pause is None or not error.retry or isinstance(error, TimedOut) or stop.wait(pause):
                raise
    raise AssertionError


def upload(folder: str, address: str, stop: threading.Event) -> Uploaded:
    """Store what a task left in its output folder; tried again with growing pauses."""
    begin = time.monotonic()
    problem = ""
    for pause in (*UPLOAD_PAUSES, None):
        try:
            stored = put(folder, address, stop=stop)
            return Uploaded(time.monotonic() - begin, stored.bytes, stored.files)
        except FetchError as error:
            problem = error.reason
            if pause is None or not error.retry or isinstance(error, Stopped) or stop.wait(pause):
                break
    return Uploaded(time.monotonic() - begin, problem=problem)
