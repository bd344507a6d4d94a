"""Tasks a second of Parsl's HighThroughputExecutor, two workers: bash apps with their output in files."""

import shlex
import sys
import tempfile
import time

import parsl
from parsl import bash_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider


@bash_app
def work(line, stdout=None, stderr=None):  # noqa: ANN001, ANN201 (Parsl reads the signature)
    """One task."""
    return line


if __name__ == "__main__":
    count, line = int(sys.argv[1]), shlex.join(sys.argv[2:])
    with tempfile.TemporaryDirectory() as folder:
        provider = LocalProvider(init_blocks=1, max_blocks=1)
        executor = HighThroughputExecutor(
            max_workers_per_node=2, provider=provider, address="127.0.0.1", encrypted=False
        )
        with parsl.load(Config(executors=[executor], run_dir=f"{folder}/run")):

            def go(number: int) -> object:
                """Submit one, its output in two files."""
                return work(line, stdout=f"{folder}/{number}.out", stderr=f"{folder}/{number}.err")

            for future in [go(number) for number in range(-4, 0)]:
                future.result()
            begin = time.perf_counter()
            for future in [go(number) for number in range(count)]:
                future.result()
            print(count / (time.perf_counter() - begin))
