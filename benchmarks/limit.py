"""The limit that nobody passes here: two small Python processes, each spawning and reaping one command at a time.

`python -m benchmarks.limit COUNT COMMAND…` is one of the two; it prints the seconds it took.
"""

import os
import subprocess
import sys
import time

PROCESSES = 2


def limit(command: list[str], count: int) -> float:
    """Tasks per second of the bare loop, its output thrown away."""
    each = [sys.executable, "-m", "benchmarks.limit", str(count // PROCESSES), *command]
    loops = [subprocess.Popen(each, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
    return count / max(float(loop.communicate()[0]) for loop in loops)


def main(count: int, command: list[str]) -> None:
    """Spawn and reap, then say how long it took."""
    actions = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    begin = time.perf_counter()
    for _ in range(count):
        os.waitpid(os.posix_spawnp(command[0], command, os.environ, file_actions=actions), 0)
    print(time.perf_counter() - begin)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
