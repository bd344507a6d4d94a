"""Output on its way in: chunks and small inline output go to the log store, what was stored becomes marks.

It stands between the wire and `decide`: places in the store must be known before the facts that name them.
"""

from scitq.broker.commands import Mark
from scitq.broker.log_records import Stream
from scitq.broker.logs import LogStore
from scitq.broker.rules import output
from scitq.broker.state import State
from scitq.broker.tasks import Live, LogEnd
from scitq.wire import Chunk, Report


def take_in(state: State, store: LogStore, worker: int, report: Report) -> tuple[Mark, ...]:
    """Store what of the report's output belongs to current attempts and is new."""
    marks: dict[tuple[int, int], list[Mark]] = {}
    for chunk in report.chunks:
        _store(state, store, worker, chunk, marks)
    for end in report.ends:
        if end.stdout:
            _store(state, store, worker, Chunk(end.ref, "stdout", 0, end.stdout), marks)
        if end.stderr:
            _store(state, store, worker, Chunk(end.ref, "stderr", 0, end.stderr), marks)
    return tuple(mark for kept in marks.values() for mark in kept)


def _store(
    state: State, store: LogStore, worker: int, chunk: Chunk, marks: dict[tuple[int, int], list[Mark]]
) -> None:
    place = (chunk.ref.task, 0 if chunk.stream == "stdout" else 1)
    kept = marks.setdefault(place, [])
    before = _before(state, place, kept)
    keep = output.take(state, worker, chunk, before)
    if keep is None:
        return
    stream = Stream(chunk.ref.task, chunk.ref.attempt, place[1])
    pointer = store.append(None if before.pointer < 0 else before.pointer, stream, keep.offset, keep.data)
    following = keep.offset + len(keep.data)
    if kept and not keep.tail:
        kept[-1] = kept[-1]._replace(next=following, pointer=pointer)
    else:  # a cut lies between what was kept before and this
        kept.append(Mark(*place, following, pointer, keep.tail))


def _before(state: State, place: tuple[int, int], kept: list[Mark]) -> LogEnd:
    slot = state.tasks.slot(place[0]) if place[0] in state.tasks else None
    log = slot.logs.get(place[1], LogEnd()) if type(slot) is Live else LogEnd()
    for mark in kept:
        log = log.kept(mark.next, mark.pointer, mark.tail)
    return log
