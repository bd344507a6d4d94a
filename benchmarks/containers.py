"""A task in a container beside the same `docker run --rm` by hand, in turn, on one real engine."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, Row, Size, median, spread
from scitq.client import Client
from scitq.model import Spec
from tests.e2e.home import Home
from tests.servers.dockerd import TINY, Dockerd, started

TURNS = 15  # for each run of the form
PAUSE = 0.1  # seconds for the removal of the one before
COMMAND = ("echo", "hello")


def rows(size: Size) -> Iterator[Row]:
    """From the submit to the known end of one task; the median of each."""
    title = "a task in a container, beside `docker run --rm` by hand"
    if reason := Dockerd.cannot_start():
        yield Row(title, (), reason)
        return
    with started(Dockerd) as engine, tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "home"
        folder.mkdir()
        home = Home(folder)
        home.environment["DOCKER_HOST"] = engine.host
        ours, theirs = [], []
        try:
            home.scitq("up")
            with home.client() as client:
                _task(client)  # the engine's package is imported for the first
                for _ in range(size.runs * TURNS):
                    ours.append(_task(client))
                    time.sleep(PAUSE)
                    theirs.append(_by_hand(engine))
                    time.sleep(PAUSE)
        finally:
            home.clear()
    yield Row(
        title,
        (Figure(median(ours) / median(theirs), 1.15, 1.15, "times"),),
        f"{len(ours)} in turn, `{' '.join(COMMAND)}` in a bridged container: {median(ours):.3f} s ({spread(ours)})"
        f" from the submit to the known end, {median(theirs):.3f} s ({spread(theirs)}) by hand",
    )


def _task(client: Client) -> float:
    begin = time.perf_counter()
    (end,) = client.wait(client.submit_many([Spec(command=COMMAND, container=TINY)]), timeout=60)
    assert end.status == "succeeded", end
    return time.perf_counter() - begin


def _by_hand(engine: Dockerd) -> float:
    begin = time.perf_counter()
    subprocess.run(["docker", "run", "--rm", TINY, *COMMAND], env=engine.environment, check=True, capture_output=True)
    return time.perf_counter() - begin
