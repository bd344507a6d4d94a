"""Which bytes of a file are here: sorted ranges that neither touch nor overlap. Pure."""

from bisect import bisect_left, bisect_right

Span = tuple[int, int]  # begin, end: the end itself is outside


class Spans:
    """A set of bytes, kept as ranges."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []

    def add(self, begin: int, end: int) -> None:
        """Take in a range; what touches it becomes one with it."""
        if begin >= end:
            return
        low = bisect_left(self._ends, begin)
        high = bisect_right(self._begins, end)
        if low < high:
            begin, end = min(begin, self._begins[low]), max(end, self._ends[high - 1])
        self._begins[low:high] = [begin]
        self._ends[low:high] = [end]

    def all(self) -> list[Span]:
        """The ranges, in order."""
        return list(zip(self._begins, self._ends, strict=True))

    @property
    def front(self) -> int:
        """How many bytes are here, from the first one on, without a gap."""
        return self._ends[0] if self._begins and self._begins[0] == 0 else 0

    @property
    def end(self) -> int:
        """The end of the last range."""
        return self._ends[-1] if self._ends else 0

    def missing(self, size: int, block: int) -> list[Span]:
        """What a file of `size` bytes lacks, in pieces of at most `block` bytes."""
        gaps: list[Span] = []
        for begin, end in zip([0, *self._ends], [*self._begins, size], strict=True):
            gaps += ((at, min(at + block, end)) for at in range(begin, end, block))
        return gaps
