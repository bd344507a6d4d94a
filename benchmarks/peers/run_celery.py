"""Tasks a second of Celery with Redis, a worker of two processes: each task spawns and captures a command.

Redis is started here, on a socket in a temporary folder, with its log of writes synced every second.
"""

import os
import subprocess
import sys
import tempfile
import time

from celery import Celery, group

SOCKET = os.environ.get("SCITQ_BENCH_REDIS", "")
app = Celery("run_celery", broker=f"redis+socket://{SOCKET}", backend=f"redis+socket://{SOCKET}")


@app.task
def work(command: list[str]) -> int:
    """One task; its output comes back."""
    done = subprocess.run(command, capture_output=True, check=True)
    return len(done.stdout)


def main(count: int, command: list[str]) -> None:
    """Start Redis and the worker, measure, stop both."""
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/s"
        environment = {**os.environ, "SCITQ_BENCH_REDIS": socket, "PYTHONPATH": os.path.dirname(__file__)}
        redis = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", socket, "--dir", folder, "--appendonly", "yes"],
            stdout=subprocess.DEVNULL,
        )
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "run_celery", "worker", "-c", "2", "--loglevel", "ERROR"],
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            measured = subprocess.run(
                [sys.executable, __file__, "--measure", str(count), *command],
                env=environment,
                check=False,
                stdout=subprocess.PIPE,
                text=True,
            )
            print(measured.stdout.strip())
        finally:
            for process in (worker, redis):
                process.terminate()
                process.wait()


def measure(count: int, command: list[str]) -> None:
    """With both running."""
    deadline = time.monotonic() + 60
    while not os.path.exists(SOCKET) and time.monotonic() < deadline:
        time.sleep(0.05)
    from run_celery import work as named

    group(named.s(command) for _ in range(4))().get(timeout=60)
    begin = time.perf_counter()
    group(named.s(command) for _ in range(count))().get(timeout=600)
    print(count / (time.perf_counter() - begin))


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        measure(int(sys.argv[2]), sys.argv[3:])
    else:
        main(int(sys.argv[1]), sys.argv[2:])
