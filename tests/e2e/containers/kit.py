"""What the tests of containers do again and again."""

from scitq.client import Client
from scitq.model import Attempt, Spec
from tests.e2e.home import Home
from tests.servers.dockerd import TINY


def task(*command: str, **fields: object) -> Spec:
    """A task in a container of the tiny image."""
    return Spec(command=command, **{"container": TINY, **fields})  # type: ignore[arg-type]


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
