"""What a dead keeper leaves: its record file tells how each of its attempts stands."""

import sys
from pathlib import Path
from typing import Any

from scitq.node import remains
from scitq.node.orders import Held, Lost, ended
from scitq.node.records import Record, scan

FILES = ("sock", "records", "records.new", "lock")


class Grave:
    """The files of a dead keeper, kept until every end in them is acknowledged."""

    def __init__(self, folder: Path, number: int, names: set[str]) -> None:
        self.number = number
        self._folder = folder
        self._names = names
        if not names:
            self._remove()

    @property
    def empty(self) -> bool:
        """Whether nothing is left to acknowledge, and the files are gone."""
        return not self._names

    def acknowledge(self, name: str) -> None:
        """The end of this attempt is safe elsewhere."""
        self._names.discard(name)
        if not self._names:
            self._remove()

    def _remove(self) -> None:
        for end in FILES:  # the lock last: until then the number is taken
            (self._folder / f"{self.number}.{end}").unlink(missing_ok=True)


def bury(folder: Path, number: int) -> tuple[Grave, list[Held]]:
    """Read the records of a dead keeper and kill what is left of attempts that have no end there."""
    path = folder / f"{number}.records"
    data = path.read_bytes() if path.exists() else b""
    records, size = scan(data)
    if size < len(data):
        print(f"{path}: the last record is torn ({len(data) - size} bytes), ignored", file=sys.stderr)
    held = settle(records)
    return Grave(folder, number, {one.name for one in held}), held


def settle(records: list[Record]) -> list[Held]:
    """How each recorded attempt stands now that its keeper is gone: ended as recorded, or lost and killed."""
    begun: dict[str, Record] = {}
    started: dict[str, Record] = {}
    ends: dict[str, Record] = {}
    for record in records:
        {"begin": begun, "start": started, "end": ends}[record[0]][record[1]] = record
    held: list[Held] = []
    for name, (_, _, mark, boot, session, wall, spec) in begun.items():
        if name in ends:
            held.append(Held(name=name, spec=spec, state="ended", end=ended(ends[name])))
            continue
        traces = remains.Traces(mark, boot, session, *_main(started.get(name)))
        left = remains.kill(traces)
        held.append(Held(name=name, spec=spec, state="lost", end=Lost(name, wall, left)))
    return held


def _main(start: Record | None) -> tuple[Any, ...]:
    return () if start is None else (start[2], (start[3], start[4]))
