"""How far is what is on its way for tasks: told by the threads that bring and store it, read by the agent's own.

What serves many tasks at once (an image, a resource) has a name of its own; a task's lines are those of its own name
and of all that it wants.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Self

MARKS = 10  # the rate is that of so many seconds
MARK_S = 1.0
STILL_S = 10.0  # without a byte: it is said
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


class _Mark(NamedTuple):
    at: float
    here: int


class Item:
    """Something on its way; a context manager, which ends it. Its methods may be called by several threads."""

    def __init__(self, what: str, total: int, clock: Callable[[], float], ended: Callable[["Item"], None]) -> None:
        self._what = what
        self._total = total
        self._clock = clock
        self._ended = ended
        self._guard = threading.Lock()
        self._here = 0
        self._text = ""
        self._detail = ""
        self._moved_at = clock()
        self._marks: deque[_Mark] = deque(maxlen=MARKS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def add(self, count: int) -> None:
        """So many bytes more are here."""
        with self._guard:
            self._reach(self._here + count)

    def reach(self, here: int, total: int, detail: str) -> None:
        """Bytes that are here, of those that are known of; what else there is to say goes before them."""
        with self._guard:
            self._total, self._detail = total, detail
            self._reach(here)

    def say(self, text: str) -> None:
        """What is to be said of it until more bytes come."""
        with self._guard:
            self._text = text

    def end(self) -> None:
        """It is not on its way any more."""
        self._ended(self)

    def line(self) -> str:
        """Its line, "" while there is nothing to say."""
        with self._guard:
            told = self._text or ", ".join(filter(None, (self._detail, *self._counted(self._clock()))))
        return ": ".join(filter(None, (self._what, told))) if told else ""

    def _reach(self, here: int) -> None:
        now = self._clock()
        if here != self._here or not self._marks:
            self._moved_at = now
        self._here, self._text = here, ""
        # The first word of bytes may be of what an earlier try brought: it tells nothing of the rate.
        if not self._marks or now >= self._marks[-1].at + MARK_S:
            self._marks.append(_Mark(now, here))

    def _counted(self, now: float) -> tuple[str, ...]:
        if not self._total:
            return ()
        here = amount(self._here) if self._total < 0 else amount_of(min(self._here, self._total), self._total)
        if 0 < self._total <= self._here:
            return (here,)
        if now >= self._moved_at + STILL_S:
            return (here, f"nothing moved for {duration(now - self._moved_at)}")
        rate = self._rate(now)
        if rate <= 0:
            return (here,)
        left = f"{duration((self._total - self._here) / rate)} left" if self._total > 0 else ""
        return (here, f"{amount(round(rate))}/s", left)

    def _rate(self, now: float) -> float:
        if not self._marks or now < self._marks[0].at + MARK_S:
            return 0.0
        return (self._here - self._marks[0].here) / (now - self._marks[0].at)


class Progress:
    """All that is on its way on a worker; its methods may be called by several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` in seconds."""
        self._clock = clock
        self._guard = threading.Lock()
        self._items: dict[str, list[Item]] = {}

    def begin(self, name: str, what: str, total: int) -> Item:
        """`what` is on its way; of `total` bytes, -1 when that is not known, 0 when there are none to count."""

        def ended(item: Item) -> None:
            with self._guard:
                items = self._items.get(name, [])
                if item in items:
                    items.remove(item)
                if not items:
                    self._items.pop(name, None)

        item = Item(what, total, self._clock, ended)
        with self._guard:
            self._items.setdefault(name, []).append(item)
        return item

    def lines(self, *names: str) -> tuple[str, ...]:
        """A line for each thing of these names that there is something to say of, the first begun first."""
        with self._guard:
            items = [item for name in names for item in self._items.get(name, ())]
        return tuple(line for item in items if (line := item.line()))


def of_image(image: str) -> str:
    """The name of an image on its way, which is what its line begins with."""
    return f"image {image}"


def of_resource(uri: str) -> str:
    """The same of a resource."""
    return f"resource {uri}"


def amount(count: int) -> str:
    """Bytes for a reader: `1.2 GiB`."""
    unit = _unit_of(count)
    return f"{_digits(count, unit)} {_UNITS[unit]}"


def amount_of(count: int, total: int) -> str:
    """A part and the whole in one unit: `1.2 of 3.4 GiB`."""
    unit = _unit_of(total)
    return f"{_digits(count, unit)} of {_digits(total, unit)} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """Seconds for a reader: `40 s`, `12 min`, `5 h`, `3 days`."""
    for unit, size, limit in (("s", 1, 90), ("min", 60, 5_400), ("h", 3_600, 172_800)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def _unit_of(count: int) -> int:
    unit = 0
    while unit < len(_UNITS) - 1 and count >= 1000 * 1024**unit:
        unit += 1
    return unit


def _digits(count: int, unit: int) -> str:
    value = count / 1024**unit
    return f"{value:.0f}" if value >= 100 or not unit else f"{value:.1f}".removesuffix(".0")
