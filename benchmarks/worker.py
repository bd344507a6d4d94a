"""A real worker: how soon it is done, what a flood of output does, and the command line."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bare import cpu_seconds
from benchmarks.figures import Figure, Row, Size, median, spread
from benchmarks.mesh import Mesh
from scitq.client import Client

FLOODS = 20
FLOOD_MIB = 30
FLOOD_PROGRAM = """
import sys, time
begin = time.monotonic()
for n in range(10 * int(sys.argv[1])):
    sys.stdout.buffer.write((b"%015d\\n" % n) * 6554)
    sys.stdout.flush()
    time.sleep(max(begin + (n + 1) / 10 - time.monotonic(), 0))
"""
FLOOD = [sys.executable, "-c", FLOOD_PROGRAM]
LAUNCHES = 15
PROBES = 60


def rows(size: Size) -> Iterator[Row]:
    """One row each."""
    yield _latency(size)
    yield _launch(size)
    yield _floods(size)


def _latency(size: Size) -> Row:
    medians = []
    with tempfile.TemporaryDirectory() as folder, Mesh(Path(folder), 2) as mesh, mesh.client() as client:
        for _ in range(size.runs):
            medians.append(median(_one_by_one(client, 200)))  # noqa: PERF401 - each is a run
    return Row(
        "one task, idle mesh, client call to succeeded, median",
        (Figure(median(medians), 8, 3.5, "ms"),),
        f"{size.runs} runs of 200, {spread(medians)} ms",
    )


def _one_by_one(client: Client, count: int) -> list[float]:
    """Milliseconds from the call to `succeeded`, one task at a time."""
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        client.wait([client.submit(["true"])])
        times.append((time.perf_counter() - begin) * 1000)
    return times


def _launch(size: Size) -> Row:
    times = []
    with tempfile.TemporaryDirectory() as folder, Mesh(Path(folder), 2) as mesh:
        command = [sys.executable, "-m", "scitq", "launch", "-s", mesh.address, "true"]
        for _ in range(LAUNCHES):
            begin = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times.append((time.perf_counter() - begin) * 1000)
    return Row(
        "`scitq launch true`, broker up, whole process",
        (Figure(median(times), 300, 150, "ms"),),
        f"median of {LAUNCHES}, {spread(times)} ms",
    )


def _floods(size: Size) -> Row:
    seconds = FLOOD_MIB
    with tempfile.TemporaryDirectory() as folder, Mesh(Path(folder), FLOODS + 2) as mesh, mesh.client() as client:
        idle = median(_one_by_one(client, PROBES))
        floods = client.submit_many([{"command": [*FLOOD, str(seconds)], "log_limit": None}] * FLOODS)
        while sum(task.status == "running" for task in client.tasks(floods)) < FLOODS:
            time.sleep(0.1)
        loaded = []
        until = time.monotonic() + seconds * 0.6
        while time.monotonic() < until:
            loaded += _one_by_one(client, 1)
            time.sleep(0.1)
        client.wait(floods)
        wanted = 10 * seconds * 6554 * 16
        missing = sum(wanted - sum(len(data) for _, data in client.output(task)) for task in floods)
        cpu = sum(cpu_seconds(pid) for pid in mesh.pids())
    ratio = median(loaded) / idle
    return Row(
        f"{FLOODS} tasks writing 1 MB/s each: bytes missing outside a said cut / other tasks' latency",
        (Figure(missing, 0, 0, "bytes missing"), Figure(ratio, 3, 1.5, "x idle")),
        f"{seconds} s, everything kept (`--log-limit none`); one other task took {idle:.1f} ms idle,"
        f" {median(loaded):.1f} ms median of {len(loaded)} under load; {cpu:.0f} s of processor for"
        " agent, keepers and broker",
    )
