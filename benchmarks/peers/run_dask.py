"""Tasks a second of Dask distributed, two worker processes of one thread: each task spawns and captures a command."""

import subprocess
import sys
import time

from distributed import Client, LocalCluster


def work(number: int, command: list[str]) -> int:
    """One task; its output comes back."""
    done = subprocess.run(command, capture_output=True, check=True)
    return len(done.stdout)


if __name__ == "__main__":
    count, command = int(sys.argv[1]), sys.argv[2:]
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(work, range(-4, 0), command=command, pure=False))
        begin = time.perf_counter()
        client.gather(client.map(work, range(count), command=command, pure=False))
        print(count / (time.perf_counter() - begin))
