"""What a measurement is held to: figures with their bounds, rows of the table, and the verdict on each."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """One measured number, what it must be and what it should reach (None: only shown); `less`: lower is better."""

    value: float
    must: float | None
    reach: float | None
    unit: str
    less: bool = True

    @property
    def verdict(self) -> str:
        """`reached`, `kept` (as good as it must be), `missed`, or `shown` when nothing was asked for."""
        if self.must is None or self.reach is None:
            return "shown"
        if self._holds(self.reach):
            return "reached"
        return "kept" if self._holds(self.must) else "missed"

    def _holds(self, bound: float) -> bool:
        return self.value <= bound if self.less else self.value >= bound


class Row(NamedTuple):
    """A line of the table: what was measured, its figures, and how it came about."""

    title: str
    figures: tuple[Figure, ...]
    note: str = ""

    @property
    def verdict(self) -> str:
        """The worst of its figures'; `skipped` without any."""
        if not self.figures:
            return "skipped"
        return max((figure.verdict for figure in self.figures), key=["shown", "reached", "kept", "missed"].index)


class Size(NamedTuple):
    """How much is measured: the short form runs fewer commands, for shorter times."""

    runs: int  # alternating runs, of which the median is taken
    commands: int  # real processes a run
    peer_commands: int  # of the slower peers, which need not run more to be told apart
    held: int  # queued tasks, and as many ended ones, in a broker that holds much
    alone: int  # tasks a run through the broker alone
    sleep_seconds: float  # that 32 slots sleep
    crowd_seconds: float  # that 1,000 workers beat


SHORT = Size(
    runs=3, commands=1_000, peer_commands=300, held=1_000_000, alone=50_000, sleep_seconds=60.0, crowd_seconds=15.0
)
FULL = Size(
    runs=3,
    commands=4_000,
    peer_commands=1_000,
    held=1_000_000,
    alone=200_000,
    sleep_seconds=600.0,
    crowd_seconds=60.0,
)


def spread(values: Sequence[float]) -> str:
    """Least to greatest, for people."""
    return f"{min(values):,.4g} to {max(values):,.4g}"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not pass."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


median = statistics.median
