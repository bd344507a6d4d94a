"""The child process of a compaction: replays sealed segments and writes the state they make as a snapshot."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

from scitq.broker import compaction, events
from scitq.broker.apply import apply
from scitq.broker.events import Entry
from scitq.broker.fold import fold
from scitq.broker.state import State

FRAME_TASKS = 20_000


def refold(bodies: Iterator[bytes]) -> Iterator[bytes]:
    """The bodies of a snapshot that says what these bodies say."""
    state = State()
    for body in bodies:
        for entry in events.decode(body):
            apply(state, entry)
    round_: list[Entry] = []
    weight = 0
    for entry in fold(state):
        round_.append(entry)
        weight += _weight(entry)
        if weight >= FRAME_TASKS:
            yield events.encode(round_)
            round_, weight = [], 0
    if round_:
        yield events.encode(round_)


def _weight(entry: Entry) -> int:
    return sum(len(getattr(event, "specs", ()) or getattr(event, "tasks", ()) or (1,)) for event in entry.events)


if __name__ == "__main__":
    gc.disable()  # facts make no cycles
    compaction.fold(Path(sys.argv[1]), int(sys.argv[2]), refold)
