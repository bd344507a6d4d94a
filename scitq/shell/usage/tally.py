"""What the attempts of a batch used, added up by the names of its tasks. Pure."""

from collections.abc import Mapping

from msgspec import Struct

from scitq.model import Worker
from scitq.shell import values
from scitq.shell.usage import advice
from scitq.shell.usage.attempts import MEASURES, AttemptUsage
from scitq.shell.usage.spread import Numbers, Spread

MOST_NAMES = 10  # of more the tasks are told together: they are named one by one
REQUESTS = ("cpu", "mem", "gpu", "disk")

Range = tuple[float, float]


class BatchUsage(Struct, frozen=True, kw_only=True):
    """What the tasks of a batch, or those of one `name`, used in the attempts that ran to an end of their own.

    `used` is that of the attempts that succeeded, or while there is none of those that failed; `failed_max` the most
    of the failed ones. `asked` and `given` hold the least and the most of each request: given is what was asked, or
    else what a slot of the worker has. `next`: what to ask next time, in the units of the requests; `options`: the
    same as words of a command line.
    """

    batch: str
    name: str | None
    succeeded: int
    failed: int
    oom: int
    used: dict[str, Spread]
    failed_max: dict[str, float]
    asked: dict[str, Range]
    given: dict[str, Range]
    next: dict[str, float]
    options: str


class Tally:
    """The attempts of tasks of one name; what it holds of each is its numbers."""

    def __init__(self) -> None:
        self._succeeded, self._failed = Numbers(MEASURES), Numbers(MEASURES)
        self._counts = {"succeeded": 0, "failed": 0, "oom": 0}
        self._wanting = 0
        self._asked: dict[str, Range] = {}
        self._given: dict[str, Range] = {}
        self._asked_by: dict[str, int] = dict.fromkeys(REQUESTS, 0)

    def take(self, usage: AttemptUsage, worker: Worker | None, *, last: bool) -> None:
        """Add an attempt; `last`: its task ended with it, so what the task asks for is what this one had."""
        numbers = self._succeeded if usage.status == "succeeded" else self._failed
        self._counts[usage.status] += 1
        for name in MEASURES:
            if (number := getattr(usage, name)) is not None:
                numbers.add(name, number)
        if usage.class_ == "oom":
            self._counts["oom"] += 1
            had = usage.mem if last else None
            self._wanting = max(self._wanting, usage.peak_memory or 0, had or 0)
        for name, amount in given_by(usage, worker).items():
            _widen(self._given, name, (amount, amount))
        for name in REQUESTS:
            if amount := getattr(usage, name):
                _widen(self._asked, name, (amount, amount))
                self._asked_by[name] += 1

    def told(self, batch: str, name: str | None) -> BatchUsage:
        """What it comes to."""
        basis = self._succeeded if self._counts["succeeded"] else self._failed
        used = basis.spreads()
        options = advice.options(
            advice.Used(
                cores=used["cores"].p95 if "cores" in used else None,
                memory=int(basis.most("peak_memory")),
                wanting=self._wanting,
                disk=int(basis.most("peak_disk")),
                gpu=self._gpu_of_all(),
            )
        )
        failed = self._failed.spreads() if basis is not self._failed else {}
        return BatchUsage(
            batch=batch,
            name=name,
            succeeded=self._counts["succeeded"],
            failed=self._counts["failed"],
            oom=self._counts["oom"],
            used=used,
            failed_max={measure: spread.max for measure, spread in failed.items()},
            asked=self._asked,
            given=self._given,
            next={option: _number(option, text) for option, text in options.items()},
            options=" ".join(f"--{option} {text}" for option, text in options.items()),
        )

    def _gpu_of_all(self) -> float:
        """The GPUs that all asked for alike, 0 when they did not."""
        least, most = self._asked.get("gpu", (0.0, 0.0))
        everybody = self._counts["succeeded"] + self._counts["failed"]
        return least if least == most and self._asked_by["gpu"] == everybody else 0.0


class Tallies:
    """A tally of all tasks of a batch and, while they are few, one for each of their names."""

    def __init__(self) -> None:
        self._all = Tally()
        self._by_name: dict[str, Tally] = {}
        self._many = False

    def take(self, usage: AttemptUsage, worker: Worker | None, *, last: bool) -> None:
        """Add an attempt, if it ran to an end of its own: what was cancelled or lost midway says little."""
        if usage.run_seconds is None or usage.status == "cancelled" or usage.class_ == "lost":
            return
        self._all.take(usage, worker, last=last)
        if not self._many:
            self._by_name.setdefault(usage.name, Tally()).take(usage, worker, last=last)
            if len(self._by_name) > MOST_NAMES:
                self._many = True
                self._by_name.clear()

    def told(self, batch: str) -> list[BatchUsage]:
        """What they come to, the names in the order of their first tasks; always one at least."""
        if len(self._by_name) > 1:
            return [tally.told(batch, name) for name, tally in self._by_name.items()]
        return [self._all.told(batch, None)]


def given_by(usage: AttemptUsage, worker: Worker | None) -> Mapping[str, float]:
    """What an attempt could count on: its request, or what a slot of its worker has, if that is still known."""
    found = {name: getattr(usage, name) for name in REQUESTS}
    if worker is not None:
        slots = max(1, worker.concurrency)
        found["cpu"] = usage.cpu or max(1, worker.cpus // slots)
        found["mem"] = usage.mem or worker.memory // slots
        found["disk"] = usage.disk or worker.disk
    return {name: amount for name, amount in found.items() if amount}


def _widen(ranges: dict[str, Range], name: str, span: Range) -> None:
    known = ranges.get(name, span)
    ranges[name] = (min(known[0], span[0]), max(known[1], span[1]))


def _number(option: str, text: str) -> float:
    kind = values.SIZE if option in ("mem", "disk") else values.NUMBER
    number: float = kind.parse(text).value
    return number
