"""Tasks per second and the latency of one, beside the peers: `python -m benchmarks [--tasks N] [--runs N]`.

Every run takes the subjects in turn (A B C, A B C, …), so that ratios hold while the machine's speed drifts. Ours is
the real mesh: broker with its journal synced, agent, keepers, output captured. HyperQueue is its LocalCluster from
PyPI with output files; the limit is a bare loop of two Python processes that spawn and reap.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.limit import limit
from benchmarks.mesh import Mesh

if TYPE_CHECKING:
    from collections.abc import Callable

SLOTS = 2
PRINT = ["sh", "-c", "printf %10240s x"]


def hyperqueue(command: list[str], count: int) -> float:
    """Tasks per second of HyperQueue's LocalCluster, output files written."""
    from hyperqueue import Job, LocalCluster  # imported late: it is a peer, not a dependency
    from hyperqueue.cluster import WorkerConfig

    with tempfile.TemporaryDirectory() as folder, LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=SLOTS))
        client = cluster.client()
        warm = Job()
        warm.program(command, stdout=f"{folder}/w.out", stderr=f"{folder}/w.err")
        client.wait_for_jobs([client.submit(warm)])
        job = Job()
        for number in range(count):
            job.program(command, stdout=f"{folder}/{number}.out", stderr=f"{folder}/{number}.err")
        begin = time.perf_counter()
        client.wait_for_jobs([client.submit(job)])
        return count / (time.perf_counter() - begin)


def ours(mesh: Mesh, command: list[str], count: int) -> float:
    """Tasks per second of a scitq mesh, submit to the last end."""
    with mesh.client() as client:
        client.wait([client.submit(command)])
        begin = time.perf_counter()
        client.wait(client.submit_many([{"command": command}] * count))
        return count / (time.perf_counter() - begin)


def latency(mesh: Mesh, count: int) -> float:
    """Median milliseconds from the client's call to `succeeded` of one task on an idle mesh."""
    times = []
    with mesh.client() as client:
        for _ in range(count):
            begin = time.perf_counter()
            client.wait([client.submit(["true"])])
            times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


def main() -> int:
    """Run all, print a table of medians and ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Mesh(Path(folder), SLOTS) as mesh:
        for title, command in (("/bin/true", ["/bin/true"]), ("10 KiB of output", PRINT)):
            subjects: dict[str, Callable[[], float]] = {
                "scitq": lambda command=command: ours(mesh, command, given.tasks),  # type: ignore[misc]
                "HyperQueue": lambda command=command: hyperqueue(command, given.tasks),  # type: ignore[misc]
                "bare two-process loop": lambda command=command: limit(command, given.tasks),  # type: ignore[misc]
            }
            rates: dict[str, list[float]] = {name: [] for name in subjects}
            for _ in range(given.runs):
                for name, run in subjects.items():
                    rates[name].append(run())
            print(f"\n{title}, {given.tasks} tasks, {SLOTS} slots, {given.runs} alternating runs: tasks/s, our ratio")
            for name, values in rates.items():
                ratio = statistics.median(a / b for a, b in zip(rates["scitq"], values, strict=True))
                spread = f"({min(values):.0f} to {max(values):.0f})"
                print(f"  {name:24} {statistics.median(values):8.0f}   {ratio:5.2f}   {spread}")
        print(f"\none task on the idle mesh, call to succeeded, median of 200: {latency(mesh, 200):.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
