"""Real processes, two slots, output captured, journal synced: beside the bare loop and the peers, in one run."""

import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.figures import Figure, Row, Size, median, spread
from benchmarks.limit import limit
from benchmarks.mesh import Mesh
from benchmarks.peers import PEERS, hyperqueue_start
from benchmarks.peers.environments import NotHereError, program

SLOTS = 2
TRUE = ["/bin/true"]
PRINT = ["sh", "-c", "printf %10240s x"]
LIMIT, HYPERQUEUE = "bare two-process loop", "HyperQueue, output files"

Rates = dict[str, list[float]]


def rows(size: Size) -> Iterator[Row]:
    """`/bin/true` and 10 KiB of output."""
    with tempfile.TemporaryDirectory() as folder, Mesh(Path(folder), SLOTS) as mesh:
        rates, skipped = _alternate(mesh, TRUE, size, {LIMIT: limit, **PEERS})
        syncs = _syncs(mesh, size.commands)
        yield _row(f"`/bin/true`, {SLOTS} slots, of the {LIMIT}", rates, LIMIT, 0.5, 0.8, f"; {syncs}")
        if HYPERQUEUE in rates:
            yield _row("the same over HyperQueue with its output files", rates, HYPERQUEUE, 2.5, 4.0, "")
        others = [name for name in rates if name not in ("scitq", LIMIT, HYPERQUEUE)]
        for name in others:
            yield _row(f"the same over {name}", rates, name, None, None, "")
        for name, why in skipped.items():
            yield Row(f"the same over {name}", (), f"not measured: {why}")
        printed, _ = _alternate(mesh, PRINT, size, {LIMIT: limit, HYPERQUEUE: PEERS[HYPERQUEUE]})
        if HYPERQUEUE in printed:
            yield _row("`sh -c 'printf %10240s x'` over HyperQueue", printed, HYPERQUEUE, 2.0, 4.0, "")
        yield from _start(mesh, size)


def _alternate(
    mesh: Mesh, command: list[str], size: Size, others: dict[str, Callable[[list[str], int], float]]
) -> tuple[Rates, dict[str, str]]:
    """Tasks a second of all in turn, so many times; and who could not be measured, and why."""
    rates: Rates = {"scitq": [], **{name: [] for name in others}}
    skipped: dict[str, str] = {}
    for _ in range(size.runs):
        rates["scitq"].append(ours(mesh, command, size.commands))
        for name, run in others.items():
            if name in skipped:
                continue
            count = size.commands if name in (LIMIT, HYPERQUEUE) else size.peer_commands
            try:
                rates[name].append(run(command, count))
            except (NotHereError, OSError, subprocess.SubprocessError) as problem:
                skipped[name] = str(problem)
    return {name: values for name, values in rates.items() if name not in skipped}, skipped


def ours(mesh: Mesh, command: list[str], count: int) -> float:
    """Tasks per second of a scitq mesh, submit to the last end."""
    with mesh.client() as client:
        client.wait([client.submit(command)])
        begin = time.perf_counter()
        client.wait(client.submit_many([{"command": command}] * count))
        return count / (time.perf_counter() - begin)


def _row(title: str, rates: Rates, peer: str, must: float | None, reach: float | None, more: str) -> Row:
    ratio = median([mine / other for mine, other in zip(rates["scitq"], rates[peer], strict=True)])
    note = (
        f"scitq {median(rates['scitq']):,.0f}/s ({spread(rates['scitq'])}),"
        f" {peer} {median(rates[peer]):,.0f}/s ({spread(rates[peer])}){more}"
    )
    return Row(title, (Figure(ratio, must, reach, "x", less=False),), note)


def _syncs(mesh: Mesh, count: int) -> str:
    """What strace sees of the journal's syncs while so many tasks run."""
    try:
        strace = program("strace")
    except NotHereError as problem:
        return f"syncs not counted: {problem}"
    with tempfile.NamedTemporaryFile("r") as counted:
        command = [strace, "-f", "-e", "trace=fsync,fdatasync", "-o", counted.name, "-p", str(mesh.pids()[0])]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracing:
            assert tracing.stderr is not None
            tracing.stderr.readline()  # it is attached
            ours(mesh, TRUE, count)
            tracing.send_signal(signal.SIGINT)
        calls = sum("fdatasync(" in line or "fsync(" in line for line in counted.read().splitlines())
    return f"strace counted {calls:,} syncs of the broker's files for {count + 1:,} tasks"


def _start(mesh: Mesh, size: Size) -> Iterator[Row]:
    """One task's latency beside HyperQueue's submit to start, in turn."""
    mine, theirs = [], []
    try:
        for _ in range(size.runs):
            mine.append(latency(mesh, 200))
            theirs.append(hyperqueue_start())
    except NotHereError as problem:
        yield Row("one task beside HyperQueue's submit to start", (), f"not measured: {problem}")
        return
    yield Row(
        "one task, idle mesh, client call to succeeded, of HyperQueue's submit to *start*",
        (Figure(median([a / b for a, b in zip(mine, theirs, strict=True)]), None, None, "x"),),
        f"scitq {median(mine):.2f} ms to its end, HyperQueue {median(theirs):.2f} ms to its start",
    )


def latency(mesh: Mesh, count: int) -> float:
    """Median milliseconds from the client's call to `succeeded` of one task on an idle mesh."""
    times = []
    with mesh.client() as client:
        for _ in range(count):
            begin = time.perf_counter()
            client.wait([client.submit(["true"])])
            times.append((time.perf_counter() - begin) * 1000)
    return median(times)
