"""1,000 connected workers that beat every 5 s, over TCP with their keys, and 10 tasks a second through them."""

import heapq
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import zmq

from benchmarks.bare import Bare, allow_many_files, cpu_seconds
from benchmarks.figures import Figure, Row, Size
from benchmarks.simulated import SimulatedWorker
from scitq import wire

WORKERS = 1_000
BEAT_SECONDS = 5.0
TASKS_PER_SECOND = 10


def rows(size: Size) -> Iterator[Row]:
    """What the broker takes of a core."""
    allow_many_files()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, WORKERS + 10)
    with tempfile.TemporaryDirectory() as name:
        broker = Bare(Path(name), tcp=True)
        broker.start()
        workers = [SimulatedWorker(broker.server(), f"w{n}", 1, context=context) for n in range(WORKERS)]
        with broker.client() as client:
            while sum(worker.status == "online" for worker in client.workers()) < WORKERS:
                time.sleep(0.1)
            begin, before = time.monotonic(), cpu_seconds(broker.pid)
            tasks = _serve(broker, workers, size.crowd_seconds)
            share = (cpu_seconds(broker.pid) - before) / (time.monotonic() - begin)
            online = sum(worker.status == "online" for worker in client.workers())
        for worker in workers:
            worker.socket.close(linger=0)
        context.term()
        broker.stop()
    yield Row(
        f"{WORKERS:,} connected workers, beat {BEAT_SECONDS:g} s, {TASKS_PER_SECOND} tasks/s: broker",
        (Figure(100 * share, 15, 5, "% of a core"),),
        f"over {size.crowd_seconds:g} s, {tasks} tasks, {online:,} workers online at the end, tcp with keys",
    )


def _serve(broker: Bare, workers: list[SimulatedWorker], seconds: float) -> int:
    """Beats spread over time, a task every tenth of a second; how many tasks were answered."""
    poller = zmq.Poller()
    of: dict[zmq.Socket[bytes], SimulatedWorker] = {}
    for worker in workers:
        poller.register(worker.socket, zmq.POLLIN)
        of[worker.socket] = worker
    begin = time.monotonic()
    beats = [(begin + random.uniform(0, BEAT_SECONDS), number) for number in range(len(workers))]
    heapq.heapify(beats)
    done, next_task = 0, begin
    with broker.client() as client:
        while (now := time.monotonic()) < begin + seconds:
            while beats[0][0] <= now:
                when, number = beats[0]
                workers[number].say(wire.Beat())
                heapq.heapreplace(beats, (when + BEAT_SECONDS, number))
            if next_task <= now:
                client.submit(["true"])
                next_task += 1 / TASKS_PER_SECOND
            for socket, _ in poller.poll(10):
                done += of[socket].serve()
    return done
