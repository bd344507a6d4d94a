"""What the broker is to be told, in memory and on disk, until it has it.

Ends that a keeper's record does not tell alone are saved as `<outbox>/<name>.end`; output lies in the files of the
keepers beside them. An end leaves after all its output, on the same connection, and again until it is acknowledged.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from scitq.node.job import Saved, unpack_saved
from scitq.node.say import say
from scitq.node.shipping import Shipping
from scitq.wire import Chunk, End, LogMark, Ref, Report, Started

COALESCE = 0.002  # seconds that an end may wait for others while more work is queued here
UNHURRIED = 0.02  # seconds that phases and output may wait for an end to travel with
RESEND = 10.0  # seconds until an unacknowledged end is told again
REPORT_BYTES = 2 * 1024 * 1024  # of output in one report
LIVE_BYTES = 1024 * 1024  # of live output in one report; more of it is a gap to followers


class Outbox:
    """All that waits to be reported. `now` is the monotonic time of the round, set by its owner."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.now = 0.0
        self._folder = folder
        self._shipping = Shipping(str(folder))
        self._saved: set[str] = set()
        self._files: dict[str, list[str]] = {}  # of settled attempts
        self._live: list[Chunk] = []
        self._live_bytes = 0
        self._started: dict[str, Started] = {}
        self._returned: list[Ref] = []
        self._kept: list[Ref] = []
        self._confirm: list[Ref] = []
        self._ends: dict[str, End] = {}  # to be sent
        self._sent: dict[str, tuple[float, End]] = {}  # the longest ago first
        self._urgent = math.inf  # since when something waits that should leave now
        self._unhurried = math.inf  # since when something waits that may be late

    # What there is to tell

    def started(self, name: str, started: Started) -> None:
        """An attempt entered a phase: told late, for its end may soon say it all."""
        self._started[name] = started
        self._unhurried = min(self._unhurried, self.now)

    def returned(self, ref: Ref) -> None:
        """Asked back, and not started."""
        self._returned.append(ref)
        self._urgent = min(self._urgent, self.now)

    def kept(self, ref: Ref) -> None:
        """Asked back too late."""
        self._kept.append(ref)
        self._urgent = min(self._urgent, self.now)

    def confirm(self, ref: Ref) -> None:
        """May it be uploaded?"""
        self._confirm.append(ref)
        self._urgent = min(self._urgent, self.now)

    def wrote(self, name: str, ref: Ref, out: int, err: int) -> None:
        """So many bytes of an attempt's streams lie in files."""
        self._shipping.wrote(name, ref, out, err)
        self._unhurried = min(self._unhurried, self.now)

    def live(self, chunk: Chunk) -> None:
        """Bytes for followers only; dropped when too many wait already."""
        if self._live_bytes + len(chunk.data) <= LIVE_BYTES:
            self._live.append(chunk)
            self._live_bytes += len(chunk.data)
            self._unhurried = min(self._unhurried, self.now)

    def end(self, name: str, end: End) -> None:
        """An attempt ended."""
        self._started.pop(name, None)
        self._ends[name] = end
        self._urgent = min(self._urgent, self.now)

    @property
    def shipping(self) -> Shipping:
        """The output on its way."""
        return self._shipping

    # What the broker answers

    def landed(self, name: str, mark: LogMark) -> None:
        """It has this stream up to the mark."""
        self._shipping.landed(name, mark)
        if self._shipping.spilling:
            self._urgent = min(self._urgent, self.now)

    def refused(self, name: str, mark: LogMark) -> None:
        """It takes no more of this stream; an end that waited for it may go."""
        self._shipping.refused(name, mark)
        self._urgent = min(self._urgent, self.now)

    def wanted(self, name: str, mark: LogMark) -> None:
        """It wants a stream from the mark, then the end again: at once only if there is something to send."""
        self._shipping.wanted(name, mark)
        if not self._shipping.complete(name):
            self.resend(name)

    def resend(self, name: str) -> None:
        """Tell an end again, after what output is then to be sent."""
        sent = self._sent.pop(name, None)
        if sent is not None:
            self._ends[name] = sent[1]
        self._urgent = min(self._urgent, self.now)

    def rejoined(self, name: str, ref: Ref) -> None:
        """A new connection: what flew has perhaps not arrived."""
        self._shipping.rejoined(name, ref)
        self.resend(name)

    def greet(self) -> None:
        """What `hello` tells needs no report."""
        for waiting in (self._live, self._returned, self._kept, self._confirm):
            waiting.clear()
        self._live_bytes = 0
        self._started.clear()

    def settle(self, name: str) -> None:
        """Tell no more of an attempt."""
        self._started.pop(name, None)
        self._ends.pop(name, None)
        self._sent.pop(name, None)
        if files := self._shipping.forget(name):
            self._files[name] = files

    def forget(self, name: str) -> None:
        """Remove the files of a settled attempt."""
        for path in self._files.pop(name, ()):
            _unlink(path)
        if name in self._saved:
            self._saved.discard(name)
            _unlink(f"{self._folder}/{name}.end")

    # When and what to send

    def due(self, *, busy: bool) -> float:
        """When a report has to leave, by monotonic clock; `busy`: more work is queued here."""
        urgent = self._urgent + COALESCE if busy else self._urgent
        oldest = next(iter(self._sent.values()))[0] + RESEND if self._sent else math.inf
        return min(urgent, self._unhurried + UNHURRIED, oldest)

    def reports(self) -> Iterator[Report]:
        """All that may be told now."""
        for name in [name for name, (sent, _) in self._sent.items() if sent + RESEND <= self.now]:
            self.resend(name)
        self._urgent = self._unhurried = math.inf
        while True:
            chunks = self._live + self._shipping.chunks(REPORT_BYTES - self._live_bytes)
            ends = self._complete_ends(REPORT_BYTES - sum(len(chunk.data) for chunk in chunks))
            report = Report(
                chunks=tuple(chunks),
                started=tuple(self._started.values()),
                returned=tuple(self._returned),
                kept=tuple(self._kept),
                ends=tuple(ends),
                confirm=tuple(self._confirm),
            )
            self.greet()
            if report == _NOTHING:
                return
            yield report

    def _complete_ends(self, room: int) -> list[End]:
        """Ends whose output has all been sent, at least one of them if there are any."""
        ends: list[End] = []
        for name in [name for name in self._ends if self._shipping.complete(name)]:
            end = self._ends.pop(name)
            if lost := self._shipping.lost(name):
                outcome = end.outcome
                for stream, spilled in lost.items():
                    outcome = replace(outcome, **{stream: spilled.stream(getattr(outcome, stream))})
                end = replace(end, outcome=outcome)
            self._sent[name] = (self.now, end)
            ends.append(end)
            room -= 256 + len(end.stdout) + len(end.stderr)
            room -= sum(len(name) + 16 for name, _ in end.outcome.stored)
            if room <= 0:
                break
        return ends

    # The disk

    def save(self, name: str, saved: Saved) -> None:
        """Keep an end for the next agent, whole or not at all."""
        path = f"{self._folder}/{name}.end"
        try:
            with open(f"{path}.new", "wb") as file:
                file.write(msgspec.msgpack.encode(saved))
            os.rename(f"{path}.new", path)
        except OSError as problem:
            say(f"the end of attempt {name} is kept in memory only: {problem}")
            return
        self._saved.add(name)

    def load(self) -> list[tuple[str, Saved]]:
        """The ends that an earlier agent saved."""
        found = []
        for path in sorted(self._folder.glob("*.end")):
            try:
                found.append((path.stem, unpack_saved(path.read_bytes())))
            except msgspec.DecodeError:
                _unlink(str(path))
            else:
                self._saved.add(path.stem)
        return found

    def sweep(self, held: set[str]) -> None:
        """Remove the files of attempts that nobody knows any more."""
        for entry in list(os.scandir(self._folder)):
            name = entry.name.removesuffix(".tail").removesuffix(".new")
            if name.rpartition(".")[0] not in held:
                _unlink(entry.path)


_NOTHING = Report()


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
