"""A broker that holds much: how long it takes to start, and how long others wait while it folds and takes in more."""

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.alone import DIFFERENT, SLOTS, WORKERS, different_tasks
from benchmarks.bare import Bare, cpu_seconds
from benchmarks.figures import Figure, Row, Size, median, percentile, spread
from benchmarks.simulated import SimulatedWorker, drain
from scitq.broker.frames import Kind
from scitq.broker.segments import listing
from scitq.config import Server

PING = "Ping"
PING_SECONDS = 0.01
SUBMITS = 3


def rows(size: Size) -> Iterator[Row]:
    """Starts with and without a snapshot, then the busy hour."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, folded = folder / "plain", folder / "folded"
        _fill(Bare(plain, compacts=False), size.held)
        shutil.copytree(plain, folded, ignore=shutil.ignore_patterns("s"))
        fold_seconds = _fold(folded / "state" / "journal")
        starts: dict[str, list[float]] = {"folded": [], "plain": []}
        cpu: dict[str, list[float]] = {"folded": [], "plain": []}
        for _ in range(size.runs):
            for kept, seconds in starts.items():
                broker = Bare(folder / kept, compacts=False)
                seconds.append(broker.start())
                cpu[kept].append(cpu_seconds(broker.pid))
                broker.stop()
        for kept, what in (("folded", "its journal compacted"), ("plain", "nothing compacted yet")):
            yield Row(
                f"start of a broker holding {size.held:,} queued and {size.held:,} ended tasks, {what}",
                (Figure(median(starts[kept]), 10, 2, "s"),),
                f"{size.runs} alternating runs, {spread(starts[kept])} s; processor time {median(cpu[kept]):.1f} s"
                + (f"; the compaction took {fold_seconds:.1f} s of a process of its own" if kept == "folded" else ""),
            )
        yield _busy(Bare(plain), size)


def _fill(broker: Bare, count: int) -> None:
    """So many ended tasks, and as many queued ones."""
    broker.start()
    with broker.client() as client:
        workers = [SimulatedWorker(broker.server(), f"w{n}", SLOTS) for n in range(WORKERS)]
        ended = client.submit_array({"command": ["process", "{n}"]}, count, {"n": range(count)})
        drain(workers, count)
        client.wait(ended[-1:])
        for worker in workers:
            worker.leave()
        while any(worker.status == "online" for worker in client.workers()):
            time.sleep(0.01)
        client.submit_array({"command": ["process", "{n}"]}, count, {"n": range(count)})
    broker.stop()


def _fold(journal: Path) -> float:
    begin = time.perf_counter()
    last = str(max(listing(journal, Kind.SEGMENT)))
    # The last one is the running broker's own and unsealed: a start seals it.
    broker = Bare(journal.parent.parent, compacts=False)
    broker.start()
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "scitq.broker.folding", str(journal), last], check=True)
    seconds = time.perf_counter() - begin
    broker.stop()
    return seconds


def _busy(broker: Bare, size: Size) -> Row:
    """Pings and single tasks while the journal is folded and 100,000 tasks at a time are submitted."""
    broker.start()
    worker = SimulatedWorker(broker.server(), "ping", 2, PING)
    submitter = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.held", broker.address], stdout=subprocess.PIPE, text=True
    )
    folding = False
    tasks: list[float] = []
    rounds: list[float] = []
    over = threading.Event()
    pinger = threading.Thread(target=_ping, args=(broker, rounds, over))
    pinger.start()
    journal = broker.folder / "state" / "journal"
    with broker.client() as client:
        while submitter.poll() is None:
            begin = time.perf_counter()
            task = client.submit(["true"], batch=PING)
            drain([worker], 1)
            client.wait([task])
            tasks.append((time.perf_counter() - begin) * 1000)
            folding = folding or bool(list(journal.glob(".snapshot*")) or list(journal.glob("*.snapshot")))
            time.sleep(PING_SECONDS)
    over.set()
    pinger.join()
    worker.leave()
    broker.stop()
    assert submitter.stdout is not None
    told = submitter.stdout.read().strip()
    return Row(
        f"{2 * size.held:,} tasks held, compaction running, {DIFFERENT:,}-task submits under way: one task p99 /"
        " worst round of the loop",
        (Figure(percentile(tasks, 0.99), 100, 50, "ms"), Figure(max(rounds), 200, 100, "ms")),
        f"{len(tasks)} single tasks (median {median(tasks):.1f} ms, worst {max(tasks):.0f} ms), {len(rounds)}"
        f" `status` asked meanwhile from outside (median {median(rounds):.1f} ms); submits took {told} s; a snapshot"
        f" was {'' if folding else 'not '}under way",
    )


def _ping(broker: Bare, rounds: list[float], over: threading.Event) -> None:
    """Ask again and again: no answer comes before the round that it was asked in ends."""
    with broker.client() as client:
        while not over.wait(PING_SECONDS / 5):
            begin = time.perf_counter()
            client.status()
            rounds.append((time.perf_counter() - begin) * 1000)


def submit_again_and_again(address: str) -> None:
    """The other client: prints how long each submit took."""
    from scitq.client import Client

    tasks = different_tasks(DIFFERENT)
    took = []
    with Client(Server(address=address), timeout=60.0, notice=lambda line: None) as client:
        for _ in range(SUBMITS):
            begin = time.perf_counter()
            client.submit_many(tasks)
            took.append(f"{time.perf_counter() - begin:.1f}")
            time.sleep(1.0)
    print(", ".join(took))


if __name__ == "__main__":
    submit_again_and_again(sys.argv[1])
