"""How fast keepers run `/bin/true`, beside the bare loop that only spawns and reaps, pairwise in one run.

    python benchmarks/keeper.py [--tasks 4000] [--rounds 5] [--slots 2] [--ahead 8]

Prints one line per round and the medians. The bare loop: `slots` small Python processes, each `os.posix_spawn` and
`os.waitpid` in turn, nothing read, nothing recorded.
"""

import argparse
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scitq.node.keepers import KeeperPool
from scitq.node.orders import Ended, Order, Started

BARE = """
import os, sys
sys.stdin.readline()
for _ in range(int(sys.argv[1])):
    os.waitpid(os.posix_spawn("/bin/true", ["/bin/true"], {}, setpgroup=0), 0)
"""


def bare(tasks: int, slots: int) -> float:
    """Tasks per second of the loops alone."""
    loops = [
        subprocess.Popen([sys.executable, "-S", "-c", BARE, str(tasks // slots)], stdin=subprocess.PIPE)
        for _ in range(slots)
    ]
    time.sleep(0.1)  # all are up and wait for the word
    begun = time.perf_counter()
    for loop in loops:
        assert loop.stdin is not None
        loop.stdin.write(b"\n")
        loop.stdin.close()
    for loop in loops:
        loop.wait()
    return tasks / (time.perf_counter() - begun)


def kept(pool: KeeperPool, prefix: str, tasks: int, ahead: int) -> float:
    """Tasks per second through the pool, `ahead` orders queued per keeper."""
    begun = time.perf_counter()
    given = done = 0
    while done < tasks:
        while given < tasks and given - done < pool.limit * (ahead + 1):
            pool.start(
                Order(
                    name=f"{prefix}{given}.1",
                    argv=[b"/bin/true"],
                    env={b"PATH": b"/usr/bin:/bin", b"HOME": b"/root", b"LANG": b"C.UTF-8", b"CPU": b"1"},
                    folder=b"/tmp",
                    head=16 << 20,
                    tail=16 << 20,
                )
            )
            given += 1
        pool.flush()
        select.select([pool], [], [])
        for event in pool.events():
            if isinstance(event, Ended):
                assert event.code == 0, event
                done += 1
                pool.acknowledge(event.name)
            elif not isinstance(event, Started):
                raise SystemExit(f"not expected here: {event}")
    return tasks / (time.perf_counter() - begun)


def alone(pool: KeeperPool, prefix: str, tasks: int) -> float:
    """Seconds from order to end of one task at a time, median."""
    took = []
    for n in range(tasks):
        begun = time.perf_counter()
        kept(pool, f"{prefix}{n}-", 1, 0)
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--ahead", type=int, default=8)
    asked = parser.parse_args()
    pairs = []
    with tempfile.TemporaryDirectory() as scratch:
        pool = KeeperPool(Path(scratch), mesh="bench", limit=asked.slots, linger=0.0)
        kept(pool, "warm", 200, asked.ahead)
        for n in range(asked.rounds):
            pairs.append((bare(asked.tasks, asked.slots), kept(pool, f"{n}-", asked.tasks, asked.ahead)))
            print(f"bare {pairs[-1][0]:6.0f}/s   keepers {pairs[-1][1]:6.0f}/s   {pairs[-1][1] / pairs[-1][0]:.2f}")
        ratio = statistics.median(ours / theirs for theirs, ours in pairs)
        print(f"median ratio {ratio:.2f}; one at a time {alone(pool, 'alone', 300) * 1000:.2f} ms")
        pool.close()


if __name__ == "__main__":
    main()
