"""Answers that need more than the state: stored output, the server's key, how the broker itself is."""

import os

from scitq import __version__, wire
from scitq.broker.followers import STREAMS
from scitq.broker.kept import read
from scitq.broker.logs import LogStore
from scitq.broker.rules.reads import log_of
from scitq.broker.state import State
from scitq.wire import CHUNK_LIMIT


def output(state: State, store: LogStore, message: wire.Output) -> wire.OutputPart:
    """Bytes of one stream; NotFound for a task or attempt that is not there."""
    stream = STREAMS.index(message.stream)
    attempt, kept, over = log_of(state, message.task, message.attempt, stream)
    limit = min(max(message.limit, 1), CHUNK_LIMIT * 4)
    offset, data, gap, damage = read(store, kept, max(message.offset, 0), limit)
    following = offset + len(data)
    if over and not data:
        gap = max(0, kept.total - following)
    return wire.OutputPart(
        id=message.id,
        task=message.task,
        attempt=attempt,
        stream=message.stream,
        offset=offset,
        data=data,
        next=following,
        end=over and (not data or following >= kept.total),
        gap=gap,
        note=damage or kept.note,
    )


def access_keys(state: State, request: int, server_key: str) -> wire.AccessKeys:
    """All keys, revoked ones too, and the broker's own public one."""
    return wire.AccessKeys(id=request, server_key=server_key, keys=tuple(state.access.values()))


def status(state: State, request: int, *, started_at: float, refused: int, notes: tuple[str, ...]) -> wire.StatusIs:
    """The mesh in numbers."""
    counts: dict[str, int] = {}
    for batch in state.batches.values():
        for name, number in batch.counts.items():
            counts[name] = counts.get(name, 0) + number
    workers: dict[str, int] = {}
    for worker in state.workers.values():
        workers[worker.status] = workers.get(worker.status, 0) + 1
    return wire.StatusIs(
        id=request,
        mesh=state.mesh,
        epoch=state.epoch,
        version=__version__,
        pid=os.getpid(),
        started_at=started_at,
        batches=len(state.batches),
        counts=counts,
        workers=workers,
        refused_messages=refused,
        notes=notes,
    )
