"""Facts of submits: parts that wait to be closed, and the tasks they become."""

from scitq.broker import events
from scitq.broker.facts.moving import live_task, move, wait_for
from scitq.broker.state import Part, State
from scitq.broker.tasks import PENDING, Group, Head, Submission, heads
from scitq.wire import pack_spec


def part_kept(state: State, event: events.PartKept, at: float) -> None:
    part = state.parts.setdefault(event.request, Part())
    part.parts[event.part] = event
    part.at = at


def parts_dropped(state: State, event: events.PartsDropped, at: float) -> None:
    del state.parts[event.request]


def submitted(state: State, event: events.Submitted, at: float) -> None:
    parts = [part for _, part in sorted(state.parts.pop(event.request).parts.items())]
    array = parts[0].array
    specs = None if array is not None else [bytes(spec) for part in parts for spec in part.specs]
    submission = Submission(event.first, specs, array, event.request, event.by, at)
    state.tasks.add(submission)
    state.requests[event.request] = (event.first, event.count)
    if array is not None:
        head = heads.decode(pack_spec(array.template))
        _enqueue(state, submission, event.first, event.first + event.count - 1, head)
        return
    first, last, before = event.first, event.first, None
    for task, spec in enumerate(specs or (), event.first):
        head = heads.decode(spec)
        if before is not None and head != before and head.group != before.group:
            _enqueue(state, submission, first, last, before)
            first = task
        last, before = task, head
    if before is not None:
        _enqueue(state, submission, first, last, before)


def _enqueue(state: State, submission: Submission, first: int, last: int, head: Head) -> None:
    name, lane, requires = head.group
    submission.groups.append(Group(last, name, lane))
    batch = state.batch(name)
    batch.enqueue(lane, first, last)
    batch.counts["pending"] += last - first + 1
    if requires:
        for task in range(first, last + 1):
            live = live_task(state, task)
            place = wait_for(state, live, requires)
            if place is not PENDING:
                move(state, live, place)
