"""A set of integers kept as sorted runs: a million queued tasks of one submit are one run."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Runs = tuple[int, ...]  # first, last, first, last, …: as it travels and rests


class IntervalSet:
    """Integers in order; a run costs two machine words, whatever its length."""

    __slots__ = ("_firsts", "_lasts", "_size")

    def __init__(self, runs: Iterable[int] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._size = 0
        numbers = iter(runs)
        for first in numbers:
            self.add(first, next(numbers))

    def __len__(self) -> int:
        return self._size

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._firsts, number) - 1
        return place >= 0 and number <= self._lasts[place]

    def __iter__(self) -> Iterator[int]:
        for first, last in zip(self._firsts, self._lasts, strict=True):
            yield from range(first, last + 1)

    def runs(self) -> Runs:
        """The set as first, last pairs."""
        return tuple(bound for run in zip(self._firsts, self._lasts, strict=True) for bound in run)

    def first(self) -> int:
        """The least number; IndexError when empty."""
        return self._firsts[0]

    def after(self, number: int) -> Iterator[int]:
        """All members above `number`, in order."""
        place = max(bisect_right(self._firsts, number) - 1, 0)
        for index in range(place, len(self._firsts)):
            yield from range(max(self._firsts[index], number + 1), self._lasts[index] + 1)

    def below(self, number: int) -> int:
        """How many members are less than `number`; counted by runs."""
        place = bisect_left(self._firsts, number)
        members = sum(self._lasts[:place]) - sum(self._firsts[:place]) + place
        return members - max(self._lasts[place - 1] - number + 1, 0) if place else 0

    def add(self, first: int, last: int) -> None:
        """Add a run of which no number is a member yet."""
        place = bisect_left(self._firsts, first)
        joins_left = place > 0 and self._lasts[place - 1] == first - 1
        joins_right = place < len(self._firsts) and self._firsts[place] == last + 1
        if joins_left and joins_right:
            self._lasts[place - 1] = self._lasts[place]
            del self._firsts[place], self._lasts[place]
        elif joins_left:
            self._lasts[place - 1] = last
        elif joins_right:
            self._firsts[place] = first
        else:
            self._firsts.insert(place, first)
            self._lasts.insert(place, last)
        self._size += last - first + 1

    def remove(self, number: int) -> None:
        """Take one member out; KeyError when it is none."""
        self.remove_run(number, number)

    def remove_run(self, first: int, last: int) -> None:
        """Take consecutive members out; KeyError when one of them is none."""
        place = bisect_right(self._firsts, first) - 1
        if place < 0 or last > self._lasts[place]:
            raise KeyError(first)
        begin, end = self._firsts[place], self._lasts[place]
        if begin == first and end == last:
            del self._firsts[place], self._lasts[place]
        elif begin == first:
            self._firsts[place] = last + 1
        elif end == last:
            self._lasts[place] = first - 1
        else:
            self._lasts[place] = first - 1
            self._firsts.insert(place + 1, last + 1)
            self._lasts.insert(place + 1, end)
        self._size -= last - first + 1


def runs_of(numbers: Iterable[int]) -> Runs:
    """The runs of ascending numbers."""
    runs: list[int] = []
    for number in numbers:
        if runs and runs[-1] == number - 1:
            runs[-1] = number
        else:
            runs += (number, number)
    return tuple(runs)


def members(runs: Runs) -> Iterator[int]:
    """The numbers in runs."""
    for index in range(0, len(runs), 2):
        yield from range(runs[index], runs[index + 1] + 1)
