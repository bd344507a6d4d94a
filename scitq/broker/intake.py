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
    marks: dict[tuple[int, int], Mark] = {}
    for chunk in report.chunks:
        _store(state, store, worker, chunk, marks)
    for end in report.ends:
        if end.stdout:
            _store(state, store, worker, Chunk(end.ref, "stdout", 0, end.stdout), marks)
        if end.stderr:
            _store(state, store, worker, Chunk(end.ref, "stderr", 0, end.stderr), marks)
    return tuple(marks.values())


def _store(state: State, store: LogStore, worker: int, chunk: Chunk, marks: dict[tuple[int, int], Mark]) -> None:
    place = (chunk.ref.task, 0 if chunk.stream == "stdout" else 1)
    before = _before(state, place, marks.get(place))
    keep = output.take(state, worker, chunk, before)
    if keep is None:
        return
    previous = None if before is None or before.pointer < 0 else before.pointer
    stream = Stream(chunk.ref.task, chunk.ref.attempt, place[1])
    pointer = store.append(previous, stream, keep.offset, keep.data)
    tail = keep.tail or (marks[place].tail if place in marks else 0)
    marks[place] = Mark(*place, keep.offset + len(keep.data), pointer, tail)


def _before(state: State, place: tuple[int, int], mark: Mark | None) -> LogEnd | None:
    slot = state.tasks.slot(place[0]) if place[0] in state.tasks else None
    known = slot.logs.get(place[1]) if type(slot) is Live else None
    if mark is None:
        return known
    return LogEnd(mark.next, mark.pointer, refused=known.refused if known else "")
