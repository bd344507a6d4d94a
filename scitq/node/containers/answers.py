"""What an engine answers, in the words of this program: its refusals, its absence, its streams, its containers."""

import contextlib
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple


class EngineAway(Exception):
    """No engine answers: it is stopped, restarting, or was never there."""


class EngineRefused(Exception):
    """The engine would not do it; the text is its own reason, in one line."""


class NoSuchImage(EngineRefused):
    """The image is not on this machine."""


class NameTaken(EngineRefused):
    """There is a container of this name already."""


class NoSuchContainer(EngineRefused):
    """There is no such container."""


class Seen(NamedTuple):
    """A container as the engine has it. Times are UTC seconds, 0 for never; `labels` holds its image's too.

    `mem`: bytes that it may have at most, 0 for no limit.
    """

    id: str
    status: str  # created, running, paused, exited, dead, removing, …
    pid: int
    exit_code: int
    oom: bool
    mem: int
    started: float
    finished: float
    tty: bool
    removes_itself: bool
    labels: dict[str, str]

    @property
    def runs(self) -> bool:
        """Whether it has started and not ended."""
        return self.status in {"running", "paused", "restarting", "stopping"}


def seen(told: Any) -> Seen:
    """What `inspect` tells of a container."""
    state, config = told["State"], told["Config"]
    return Seen(
        id=told["Id"],
        status=state["Status"],
        pid=state.get("Pid", 0),
        exit_code=state.get("ExitCode", 0),
        oom=bool(state.get("OOMKilled")),
        mem=told.get("HostConfig", {}).get("Memory") or 0,
        started=_moment(state.get("StartedAt")),
        finished=_moment(state.get("FinishedAt")),
        tty=bool(config.get("Tty")),
        removes_itself=bool(told.get("HostConfig", {}).get("AutoRemove")),
        labels=config.get("Labels") or {},
    )


class Told:
    """What the `docker` package raises, in the words of this module."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        if problem is None:
            return
        import docker.errors
        import requests
        import urllib3

        away = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError)
        if isinstance(problem, docker.errors.NotFound):
            raise NoSuchContainer(one_line(problem.explanation)) from problem
        if isinstance(problem, docker.errors.APIError):
            raise EngineRefused(one_line(problem.explanation or str(problem))) from problem
        if isinstance(problem, (*away, docker.errors.DockerException)):
            raise EngineAway(one_line(problem)) from problem


def took_too_long(away: EngineAway) -> bool:
    """Whether it is only that no answer came in time; an answer may have begun, and its body be what is late."""
    import requests
    import urllib3

    cause = away.__cause__
    return isinstance(cause, requests.exceptions.ReadTimeout) or (
        isinstance(cause, requests.exceptions.ConnectionError)
        and any(isinstance(one, urllib3.exceptions.ReadTimeoutError) for one in cause.args)
    )


def blocks(response: Any) -> Iterator[bytes]:
    """The bytes of a response of the engine as they come; EngineAway when it breaks off before its end."""
    with Told():
        yield from response.raw.stream(64 * 1024, decode_content=False)


def received(line: Any) -> Iterator[bytes]:
    """The bytes that come through an open line, until it is closed."""
    read = line.recv if hasattr(line, "recv") else line.read
    with Told(), contextlib.closing(line):
        while data := read(64 * 1024):
            yield data


def _moment(text: str | None) -> float:
    try:
        return max(0.0, datetime.fromisoformat(text or "").timestamp())
    except (ValueError, OverflowError):
        return 0.0


def first_line(told: bytes) -> str:
    """What docker complains of, without its own name and its hint at --help."""
    text = told.decode(errors="replace").strip()
    for line in text.splitlines():
        if line.strip() and not line.startswith("WARNING"):
            return one_line(re.sub(r"^(docker: |Error response from daemon: )+", "", line))
    return ""


def one_line(told: object) -> str:
    """The same without line ends."""
    return " ".join(str(told).split())
