"""Which bytes of output are kept: (state, chunk) -> what to do with it. Bytes count by their place in the stream."""

from typing import NamedTuple

from scitq.broker.rules.attempts import is_current
from scitq.broker.state import State
from scitq.broker.tasks import Live, LogEnd
from scitq.wire import Chunk


class Keep(NamedTuple):
    """Store `data` at `offset`; `tail` is where a kept tail begins, 0 when there is no cut before it."""

    offset: int
    data: bytes
    tail: int


def take(state: State, worker: int, chunk: Chunk, log: LogEnd | None) -> Keep | None:
    """What of a chunk is to be stored, given how far the stream is (`log`, None: as the state says)."""
    slot = state.tasks.slot(chunk.ref.task) if chunk.ref.task in state.tasks else None
    if type(slot) is not Live or not is_current(slot, chunk.ref, worker) or chunk.live or not chunk.data:
        return None
    here = log if log is not None else slot.logs.get(0 if chunk.stream == "stdout" else 1, LogEnd())
    if here.refused or chunk.offset + len(chunk.data) <= here.next:
        return None  # known already
    if chunk.offset > here.next:
        return Keep(chunk.offset, chunk.data, chunk.offset) if chunk.skip else None
    return Keep(here.next, chunk.data[here.next - chunk.offset :], 0)
