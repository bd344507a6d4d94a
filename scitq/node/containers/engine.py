"""The container engine of this machine: docker, or podman behind its docker-compatible socket.

The docker command line makes containers, for it alone knows its options. All else goes through the `docker` package,
which is imported when the first container is asked for.
"""

import json
import os
import re
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scitq.node.containers import groups
from scitq.node.containers.answers import (
    EngineAway,
    EngineRefused,
    NameTaken,
    NoSuchContainer,
    NoSuchImage,
    Seen,
    Told,
    blocks,
    first_line,
    one_line,
    received,
    seen,
    took_too_long,
)
from scitq.node.containers.pulling import Layers

if TYPE_CHECKING:
    import docker

ANSWER_SECONDS = 60
CREATE_SECONDS = 120.0
CONNECTIONS = 64

_NO_ENGINE = re.compile(
    rb"Cannot connect to the Docker daemon|error during connect|daemon running|connection refused|: EOF",
    re.IGNORECASE,
)
_NAME_TAKEN = re.compile(rb"container name .* is already in use", re.IGNORECASE)
_NO_IMAGE = re.compile(rb"no such image|image not known|unable to find image", re.IGNORECASE)


class Login(NamedTuple):
    """Who may pull from a registry."""

    user: str
    password: str


class Engine:
    """One engine that has answered. Its methods may be called by several threads; each raises EngineAway."""

    def __init__(self, where: str, program: str, kind: str, version: str, api: str) -> None:
        self.where = where
        self.kind = kind
        self.version = version
        self._program = program
        self._api_version = api
        self._client: docker.APIClient | None = None
        self._shares_fate: bool | None = None
        self._leaves_groups: bool | None = None

    def __str__(self) -> str:
        """As workers announce it."""
        return f"{self.kind} {self.version}"

    @property
    def shares_fate(self) -> bool:
        """Whether its containers end with it: docker's do, unless it was told to `live-restore`."""
        if self._shares_fate is None:
            self._shares_fate = self.kind == "docker" and not self._ask("info").get("LiveRestoreEnabled")
        return self._shares_fate

    @property
    def leaves_groups(self) -> bool:
        """Whether a control group that it makes above a container's own stays, and may be removed by this process.

        With systemd, which many engines have make their groups, it is systemd that removes it.
        """
        if self._leaves_groups is None:
            where = self._ask("info").get("CgroupDriver") if groups.are_ours(self._process()) else ""
            self._leaves_groups = where == "cgroupfs"
        return self._leaves_groups

    # Containers

    def create(self, words: list[str]) -> str:
        """Have the docker command line make a container of these words; its id.

        Raises:
            NoSuchImage: it has to be pulled first.
            NameTaken: it has been made already.
            EngineRefused: with what docker says.
        """
        try:
            made = subprocess.run(
                [self._program, *words],
                env={**os.environ, "DOCKER_HOST": self.where},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=CREATE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EngineAway(f"docker create did not return within {CREATE_SECONDS:g} s") from None
        except (OSError, ValueError) as problem:
            raise EngineRefused(f"docker cannot be started: {problem}") from None
        if made.returncode == 0 and (lines := made.stdout.split()):
            return lines[-1].decode()
        if _NO_ENGINE.search(made.stderr):
            raise EngineAway(first_line(made.stderr))
        if _NO_IMAGE.search(made.stderr):
            raise NoSuchImage(first_line(made.stderr))
        if _NAME_TAKEN.search(made.stderr):
            raise NameTaken(first_line(made.stderr))
        raise EngineRefused(first_line(made.stderr) or f"docker create ended with exit code {made.returncode}")

    def start(self, name: str) -> None:
        """Start it; the engine's refusal says why its command could not be run."""
        self._ask("start", name)

    def look(self, name: str) -> Seen:
        """The container as it is now; NoSuchContainer."""
        return seen(self._ask("inspect_container", name))

    def wait(self, name: str, seconds: float) -> None:
        """Return when it does not run any more, or after a while."""
        try:
            self._ask("wait", name, timeout=seconds)
        except EngineAway as away:
            if not took_too_long(away):
                raise

    def kill(self, name: str, signal: str) -> None:
        """Send a signal to its first process, which is let go on if it stands still."""
        try:
            self._ask("kill", name, signal)
        except EngineRefused:
            if self.look(name).status != "paused":
                raise
            self.unpause(name)
            self._ask("kill", name, signal)

    def pause(self, name: str) -> None:
        """Let all of it stand still."""
        self._ask("pause", name)

    def unpause(self, name: str) -> None:
        """Let it go on."""
        self._ask("unpause", name)

    def remove(self, name: str) -> None:
        """Remove it with its nameless volumes, running or not; one that is gone is no fault."""
        try:
            self._ask("remove_container", name, force=True, v=True)
        except NoSuchContainer:
            return
        except EngineRefused as problem:
            if "already in progress" not in str(problem):
                raise

    def attach(self, name: str) -> Iterator[bytes]:
        """The output of one that has not started, as it comes, until its end; the engine's own death ends it too."""
        with Told():
            line = self._api.attach_socket(name, params={"stdout": 1, "stderr": 1, "stream": 1})
            self._api._disable_socket_timeout(line)  # type: ignore[attr-defined] # noqa: SLF001 - for long silences
        return received(line)

    def logs(self, name: str, *, follow: bool) -> Iterator[bytes]:
        """Its output from the first byte on. Docker may break off a log that it follows when the container ends."""
        return blocks(self._stream(f"/containers/{name}/logs", {"stdout": 1, "stderr": 1, "follow": int(follow)}))

    def names(self, labels: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
        """Name and labels of all containers that carry these labels."""
        wanted = [f"{key}={value}" for key, value in labels.items()]
        found = self._ask("containers", all=True, filters={"label": wanted})
        return [(one["Names"][0].lstrip("/"), one.get("Labels") or {}) for one in found if one.get("Names")]

    # Images

    def user_of(self, image: str) -> str:
        """The user that the image names, "" for root; NoSuchImage when it is not here."""
        try:
            return self._ask("inspect_image", image).get("Config", {}).get("User") or ""
        except NoSuchContainer as problem:
            raise NoSuchImage(str(problem)) from None

    def images(self) -> list[str]:
        """The ids of the images that are here."""
        return [one["Id"] for one in self._ask("images")]

    def pull(self, image: str, login: Login | None, progress: Callable[[Layers], None]) -> int:
        """Fetch an image; the bytes fetched. `progress` hears how far it is whenever the engine tells."""
        from docker.utils import parse_repository_tag

        repository, tag = parse_repository_tag(image)
        auth = None if login is None else {"username": login.user, "password": login.password}
        layers = Layers()
        with Told():
            for line in self._api.pull(repository, tag=tag or "latest", stream=True, decode=True, auth_config=auth):
                if problem := line.get("error"):
                    raise EngineRefused(one_line(problem))
                layers.take(line)
                progress(layers)
        return layers.here

    def run_and_remove(self, image: str, argv: list[str], binds: list[str], labels: Mapping[str, str]) -> int:
        """Run a program as root in a container without network, and wait for it; its exit code."""
        made = self._ask(
            "create_container",
            image,
            argv[1:],
            entrypoint=argv[:1],
            user="0:0",
            labels=dict(labels),
            host_config=self._api.create_host_config(binds=binds, network_mode="none"),
        )
        try:
            self._ask("start", made["Id"])
            return int(self._ask("wait", made["Id"], timeout=600)["StatusCode"])
        finally:
            self.remove(made["Id"])

    # Which engine it is

    def events(self) -> Any:
        """A response that lasts as long as this engine: almost nothing comes through it."""
        return self._stream("/events", {"filters": json.dumps({"type": ["daemon"]})})

    def answers_anew(self) -> None:
        """Have it answer on a connection of its own: one that is going away takes no new ones."""
        import docker

        with Told():
            client = docker.APIClient(
                self.where, version=self._spoken(), timeout=ANSWER_SECONDS, tls=_tls(self.where)
            )
            try:
                client.ping()
            finally:
                client.close()

    def saw_start(self, container: str, since: float) -> bool:
        """Whether this engine, since it started, started this container; of long ago it knows no more."""
        found = self._ask(
            "events",
            since=int(since),
            until=time.time(),
            filters={"container": [container], "event": ["start"]},
            decode=True,
        )
        with Told():
            return any(True for _ in found)

    def instance(self) -> str:
        """Which process answers, with its start; "" where that cannot be told."""
        pid = self._process()
        return f"{pid}.{started_at(pid)}" if pid > 1 else ""  # 1, the system's service manager, holds it for others

    def _process(self) -> int:
        """The number of the process that answers, 0 where that cannot be told."""
        path = self.where.removeprefix("unix://")
        if path == self.where:
            return 0
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(path)
                pid, _, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            return int(pid)
        except OSError as problem:
            raise EngineAway(str(problem)) from None

    # How it is asked

    @property
    def _api(self) -> "docker.APIClient":
        if self._client is None:
            import docker

            self._client = docker.APIClient(
                self.where,
                version=self._spoken(),
                timeout=ANSWER_SECONDS,
                tls=_tls(self.where),
                max_pool_size=CONNECTIONS,
            )
        return self._client

    def _spoken(self) -> str:
        from docker.constants import DEFAULT_DOCKER_API_VERSION

        return min(self._api_version, DEFAULT_DOCKER_API_VERSION, key=lambda text: [int(n) for n in text.split(".")])

    def _ask(self, what: str, *args: Any, **options: Any) -> Any:
        with Told():
            return getattr(self._api, what)(*args, **options)

    def _stream(self, path: str, params: dict[str, Any]) -> Any:
        with Told():
            response = self._api.get(
                f"{self._api.base_url}/v{self._spoken()}{path}",
                params=params,
                stream=True,
                timeout=(ANSWER_SECONDS, None),
            )
            self._api._raise_for_status(response)  # type: ignore[attr-defined] # noqa: SLF001 - as its own requests
            return response


def started_at(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def _tls(where: str) -> Any:
    """TLS as the environment asks for it, as for the docker command line."""
    if not where.startswith("tcp://") or not os.environ.get("DOCKER_TLS_VERIFY"):
        return False
    from docker.utils import kwargs_from_env

    return kwargs_from_env().get("tls", False)
