"""What a mesh takes while its tasks sleep: beats, and samples of what they use."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bare import cpu_seconds
from benchmarks.figures import Figure, Row, Size
from benchmarks.mesh import Mesh

SLEEPERS = 32


def rows(size: Size) -> Iterator[Row]:
    """Processor time from the moment that all run; the first minute has most of the samples."""
    with tempfile.TemporaryDirectory() as folder, Mesh(Path(folder), SLEEPERS) as mesh, mesh.client() as client:
        tasks = client.submit_many([{"command": ["sleep", "600"]}] * SLEEPERS)
        while sum(task.status == "running" for task in client.tasks(tasks)) < SLEEPERS:
            time.sleep(0.05)
        pids = mesh.pids()
        begin, before = time.monotonic(), [cpu_seconds(pid) for pid in pids]
        time.sleep(size.sleep_seconds)
        seconds = time.monotonic() - begin
        shares = [100 * (cpu_seconds(pid) - was) / seconds for pid, was in zip(pids, before, strict=True)]
        client.cancel([task.id for task in client.tasks(tasks) if task.status == "running"])
        client.wait(tasks)
    yield Row(
        f"{SLEEPERS} slots of `sleep 600`, beat 5 s, sampled every second for a minute and every 10 s then:"
        f" agent + keepers + broker, mean of {size.sleep_seconds:g} s",
        (Figure(sum(shares), 3, 1, "% of a core"),),
        f"broker {shares[0]:.2f} %, agent {shares[1]:.2f} %, {len(shares) - 2} keepers {sum(shares[2:]):.2f} %",
    )
