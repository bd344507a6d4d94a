"""Whole processes in turn: wall and processor seconds, peak memory, and whether the payload is what it should be."""

import os
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.figures import Figure, Row, median, spread
from benchmarks.peers.environments import NotHereError


class Cost(NamedTuple):
    """What one run took: seconds, seconds of processor, MiB at its peak (the largest process it waited for)."""

    wall: float
    cpu: float
    peak: float


class Subject(NamedTuple):
    """Who is measured: its words, and what it needs in the environment."""

    words: Sequence[str]
    environ: Mapping[str, str] = {}


Costs = dict[str, list[Cost]]


def contest(
    subjects: Mapping[str, Subject | NotHereError], runs: int, prepare: Callable[[], None], verify: Callable[[], None]
) -> tuple[Costs, dict[str, str]]:
    """Each in turn, so many times; and who could not be measured, and why.

    Every round begins with another one: memory that nobody had for a while costs whoever takes it first.
    `prepare` is called before each run and `verify` after it, neither is timed; `verify` raises on a wrong payload.
    """
    costs: Costs = {}
    skipped: dict[str, str] = {}
    order = deque(subjects.items())
    for _ in range(runs):
        for name, subject in order:
            if isinstance(subject, NotHereError):
                skipped[name] = str(subject)
            elif name not in skipped:
                prepare()
                try:
                    costs.setdefault(name, []).append(run(subject))
                    verify()
                except RuntimeError as problem:
                    if name == "scitq":
                        raise
                    skipped[name] = str(problem)
        order.rotate(-1)
    return {name: costs[name] for name in subjects if name in costs and name not in skipped}, skipped


def run(subject: Subject) -> Cost:
    """One process, start included. Raises RuntimeError with the last line it said when it fails."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        subject.words,
        env={**os.environ, **subject.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["nothing said"]
        raise RuntimeError(f"{' '.join(subject.words)} ended with {process.returncode}: {last[0]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def row(
    title: str,
    costs: Costs,
    skipped: Mapping[str, str],
    *,
    beside: Sequence[str],
    must: float,
    reach: float,
    slowest: bool = False,
    memory: float | None = None,
) -> Row:
    """The wall time of scitq over that of the best (or the `slowest`) of those `beside` it; perhaps its memory."""
    others = sorted(
        (name for name in beside if name in costs),
        key=lambda name: median([cost.wall for cost in costs[name]]),
        reverse=slowest,
    )
    if not others:
        return Row(title, (), f"not measured: {'; '.join(f'{name}: {why}' for name, why in skipped.items())}")
    ratios = [mine.wall / other.wall for mine, other in zip(costs["scitq"], costs[others[0]], strict=True)]
    figures = [Figure(median(ratios), must, reach, "x")]
    if memory is not None:
        figures.append(Figure(max(cost.peak for cost in costs["scitq"]), memory, memory, "MiB"))
    told = [
        f"{name} {median([cost.wall for cost in each]):.2f} s ({spread([cost.wall for cost in each])};"
        f" cpu {median([cost.cpu for cost in each]):.2f} s, {max(cost.peak for cost in each):.0f} MiB)"
        for name, each in costs.items()
    ]
    told += [f"{name} not measured: {why}" for name, why in skipped.items()]
    return Row(title, tuple(figures), ", ".join(told))
