"""Many numbers in little room, and what people want to know of them."""

import math
from array import array
from collections.abc import Iterable
from statistics import median

from msgspec import Struct


class Spread(Struct, frozen=True):
    """The middle of some numbers, what 95 of 100 do not pass, and the most."""

    median: float
    p95: float
    max: float


class Numbers:
    """The numbers of each of some measures."""

    def __init__(self, measures: Iterable[str]) -> None:
        self._of = {name: array("d") for name in measures}

    def add(self, name: str, number: float) -> None:
        """One number more."""
        self._of[name].append(number)

    def spreads(self) -> dict[str, Spread]:
        """The spread of each measure that has a number."""
        return {name: _spread(numbers) for name, numbers in self._of.items() if numbers}

    def most(self, name: str) -> float:
        """The largest of a measure, 0 when there is none."""
        return max(self._of[name], default=0.0)


def _spread(numbers: "array[float]") -> Spread:
    ordered = sorted(numbers)
    return Spread(*map(_whole, (median(ordered), ordered[math.ceil(0.95 * len(ordered)) - 1], ordered[-1])))


def _whole(number: float) -> float:
    """An `int` where it is one: bytes are counted."""
    return int(number) if number.is_integer() else number
