"""Facts that users made: edits, ends of queued tasks, relaunches, deletions, batches that stop and go."""

from scitq.broker import events
from scitq.broker.facts.moving import edit, end, forget_waiting, live_task, move, wait_for
from scitq.broker.intervals import members
from scitq.broker.moves import IllegalMove, check_move
from scitq.broker.state import State
from scitq.broker.tasks import PENDING, EndRecord, Live, lane_of, pack_end, unpack_end

RELAUNCHES_KEPT = 10_000


def edited(state: State, event: events.Edited, at: float) -> None:
    for task in members(event.tasks):
        edit(state, task, event.changes)


def cancelled(state: State, event: events.Cancelled, at: float) -> None:
    untouched = pack_end(EndRecord(events.RESULTS.index("cancelled"), 0, 0, 0, (), event.reason))
    for task in members(event.tasks):
        slot = state.tasks.slot(task)
        if slot is not None:
            live = live_task(state, task)
            check_move(task, live.place.status, "cancelled", live)
            end(state, live, "cancelled", event.reason)
            continue
        group = state.tasks.submission(task).group(task)
        batch = state.batches[group.batch]
        batch.dequeue(group.lane, task, task)
        batch.counts["pending"] -= 1
        batch.counts["cancelled"] += 1
        state.tasks.put(task, untouched)


def relaunched(state: State, event: events.Relaunched, at: float) -> None:
    if event.request:
        state.relaunches[event.request] = sum(1 for _ in members(event.tasks))
        if len(state.relaunches) > RELAUNCHES_KEPT:
            del state.relaunches[next(iter(state.relaunches))]
    for task in members(event.tasks):
        packed = state.tasks.slot(task)
        if type(packed) is not bytes:
            live = live_task(state, task)
            raise IllegalMove(f"task {task} has not ended: {live}")
        record = unpack_end(packed)
        spec = state.tasks.spec(task)
        live = Live(task, spec.batch, lane_of(spec))
        live.attempt, live.barred, live.past = record.attempt, record.attempt, record.past
        batch = state.batch(spec.batch)
        batch.counts[events.RESULTS[record.status]] -= 1
        batch.counts["pending"] += 1
        batch.enqueue(live.lane, task, task)
        batch.live[task] = live
        state.tasks.put(task, live)
        edit(state, task, event.changes)
        place = wait_for(state, live, spec.requires)
        if place is not PENDING:
            move(state, live, place)


def deleted(state: State, event: events.Deleted, at: float) -> None:
    for task in members(event.tasks):
        slot = state.tasks.slot(task)
        status = state.status_of(task)
        batch = state.batches[state.batch_of(task)]
        if type(slot) is Live:
            if slot.held is not None:
                raise IllegalMove(f"task {task} is with a worker: {slot}")
            past = slot.past
            forget_waiting(state, slot)
        else:
            past = unpack_end(slot).past if type(slot) is bytes else ()
        if status == "pending":
            lane = slot.lane if type(slot) is Live else state.tasks.submission(task).group(task).lane
            batch.dequeue(lane, task, task)
        batch.counts[status] -= 1
        batch.live.pop(task, None)
        for result in past:
            state.released += [
                log.pointer for log in (result.stdout, result.stderr) if log and log.pointer is not None
            ]
        _forget(state, task)


def _forget(state: State, task: int) -> None:
    submission = state.tasks.submission(task)
    state.tasks.put(task, None)
    state.tasks.edited.pop(task, None)
    state.tasks.deleted.add(task, task)
    submission.deleted += 1
    if submission.deleted == submission.count:
        state.requests.pop(submission.request, None)
        submission.specs, submission.array = [], None


def batch_stopped(state: State, event: events.BatchStopped, at: float) -> None:
    state.batch(event.batch).stopped = event.how


def batch_started(state: State, event: events.BatchStarted, at: float) -> None:
    state.batch(event.batch).stopped = ""


def batch_deleted(state: State, event: events.BatchDeleted, at: float) -> None:
    del state.batches[event.batch]
