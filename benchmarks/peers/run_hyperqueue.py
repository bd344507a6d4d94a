"""HyperQueue's LocalCluster, two cores, output in files: tasks a second; with `--start` milliseconds to a start."""

import statistics
import sys
import tempfile
import time

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

STARTS = 25  # its wait looks about once a second


def rate(count: int, command: list[str]) -> float:
    """Submit to the last end."""
    with tempfile.TemporaryDirectory() as folder, LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=2))
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


def start() -> float:
    """Median milliseconds from the call to the moment that the command itself writes down."""
    times = []
    with tempfile.TemporaryDirectory() as folder, LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=2))
        client = cluster.client()
        for number in range(STARTS):
            job = Job()
            job.program(["date", "+%s.%N"], stdout=f"{folder}/{number}", stderr=None)
            begin = time.time()
            client.wait_for_jobs([client.submit(job)])
            with open(f"{folder}/{number}") as file:
                times.append(float(file.read()) - begin)
    return statistics.median(times[5:]) * 1000


if __name__ == "__main__":
    print(start() if sys.argv[1] == "--start" else rate(int(sys.argv[1]), sys.argv[2:]))
