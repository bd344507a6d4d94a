"""The broker alone, workers that answer at once: all rules, journal synced."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.bare import Bare
from benchmarks.figures import Figure, Row, Size, median, spread
from benchmarks.simulated import SimulatedWorker, drain
from scitq.client import Client

WORKERS = 4
SLOTS = 64
DIFFERENT = 100_000


def rows(size: Size) -> Iterator[Row]:
    """Tasks a second, submits, and what an ended task costs."""
    runs = [_run(size) for _ in range(size.runs)]
    rates, arrays, array_bytes, different, different_bytes, ended_bytes, ended_disk = zip(*runs, strict=True)
    yield Row(
        f"broker alone, workers that answer at once: submit, assign, start and end of {size.alone:,} tasks",
        (Figure(median(rates), 10_000, 50_000, "/s", less=False),),
        f"{size.runs} runs, {spread(rates)}",
    )
    yield Row(
        f"submit {size.held:,} tasks of one template (array), one call, until durable",
        (Figure(median(arrays), 5, 1, "s"), Figure(median(array_bytes), 20, 2, "B of RAM a task")),
        f"{size.runs} runs, {spread(arrays)} s",
    )
    yield Row(
        f"submit {DIFFERENT:,} different tasks, one call, until durable",
        (
            Figure(median(different), 50_000, 200_000, "/s", less=False),
            Figure(median(different_bytes), 700, 300, "B of RAM a task"),
        ),
        f"{size.runs} runs, {spread(different)}/s",
    )
    yield Row(
        "an ended task: RAM / disk beyond its own words and output",
        (Figure(median(ended_bytes), 200, 120, "B of RAM"), Figure(median(ended_disk), 200, 100, "B of disk")),
        f"mean of {size.alone:,} tasks, median of {size.runs} runs",
    )


def _run(size: Size) -> tuple[float, ...]:
    with tempfile.TemporaryDirectory() as name:
        broker = Bare(Path(name))
        broker.start()
        try:
            with broker.client() as client:
                return _figures(broker, client, size)
        finally:
            broker.stop()


def _figures(broker: Bare, client: Client, size: Size) -> tuple[float, ...]:
    workers = [SimulatedWorker(broker.server(), f"w{n}", SLOTS) for n in range(WORKERS)]
    _through(client, workers, 20_000)  # what is imported and allocated once is there
    empty, disk = broker.memory(), broker.disk()
    rate = size.alone / _through(client, workers, size.alone)
    ended = (broker.memory() - empty) / size.alone
    ended_disk = (broker.disk() - disk) / size.alone
    for worker in workers:
        worker.leave()
    before = broker.memory()
    begin = time.perf_counter()
    client.submit_array({"command": ["process", "{n}"]}, size.held, {"n": range(size.held)})
    array = time.perf_counter() - begin
    grown = broker.memory()
    tasks = different_tasks(DIFFERENT)
    begin = time.perf_counter()
    client.submit_many(tasks)
    different = DIFFERENT / (time.perf_counter() - begin)
    return (
        rate,
        array,
        max(grown - before, 0) / size.held,
        different,
        (broker.memory() - grown) / DIFFERENT,
        ended,
        ended_disk,
    )


def _through(client: Client, workers: list[SimulatedWorker], count: int) -> float:
    """Seconds from the submit of so many tasks of one template to their last end."""
    begin = time.perf_counter()
    ids = client.submit_array({"command": ["process", "{n}"]}, count, {"n": range(count)})
    drain(workers, count)
    client.wait(ids[-1:])
    return time.perf_counter() - begin


def different_tasks(count: int) -> list[dict[str, Any]]:
    """As a pipeline would name its samples."""
    return [
        {"command": ["process", f"/data/sample-{n}.fastq.gz", "--seed", str(n)], "name": f"s{n}"}
        for n in range(count)
    ]
