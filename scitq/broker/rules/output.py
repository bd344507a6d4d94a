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


def take(state: State, worker: int, chunk: Chunk, log: LogEnd) -> Keep | None:
    """What of a chunk is to be stored, given how far the stream is."""
    slot = state.tasks.slot(chunk.ref.task) if chunk.ref.task in state.tasks else None
    if type(slot) is not Live or not is_current(slot, chunk.ref, worker) or chunk.live or not chunk.data:
        return None
    if log.refused or chunk.offset + len(chunk.data) <= log.next:
        return None  # known already
    if chunk.offset > log.next:
        return Keep(chunk.offset, chunk.data, chunk.offset) if chunk.skip else None
    return Keep(log.next, chunk.data[log.next - chunk.offset :], 0)
