"""What the tests of containers do again and again."""

import tomllib

from scitq.client import Client
from scitq.model import Attempt, Spec
from scitq.node.containers import groups
from scitq.node.containers.words import Owner
from tests.e2e.home import Home
from tests.servers.dockerd import TINY


def task(*command: str, **fields: object) -> Spec:
    """A task in a container of the tiny image."""
    return Spec(command=command, **{"container": TINY, **fields})  # type: ignore[arg-type]


def control_groups(house: Home) -> set[str]:
    """Those above containers of its worker, in whatever mesh."""
    worker = tomllib.loads((house.paths.scratch / "worker.toml").read_text())["id"]
    return groups.left_over(Owner("", worker, "").group("").removesuffix("nomesh-"))


def output(client: Client, number: int) -> tuple[str, str]:
    """Stdout and stderr of a task."""
    streams = {"stdout": b"", "stderr": b""}
    for name, data in client.output(number):
        streams[name] += data
    return streams["stdout"].decode(), streams["stderr"].decode()


def run(house: Home, spec: Spec) -> tuple[Attempt, str, str]:
    """One task to its end: its last attempt, stdout, stderr."""
    with house.client() as client:
        (number,) = client.submit_many([spec])
        client.wait([number], timeout=50)
        return list(client.attempts([number]))[-1], *output(client, number)
