"""`apply(state, entry)`: the only writer of the state, the same live and at replay.

Here facts are carried out, never judged: what should happen was decided before (decide.py). The one exception is
what follows by definition: a task whose dependencies have all succeeded is pending.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from scitq.broker import events
from scitq.broker.events import Entry, Result
from scitq.broker.intervals import members
from scitq.broker.moves import IllegalMove, check_move
from scitq.broker.state import Part, State, WorkerState
from scitq.broker.tasks import (
    PENDING,
    EndRecord,
    Group,
    Held,
    Live,
    LogEnd,
    Place,
    Returning,
    Submission,
    Waiting,
    pack_end,
    unpack_end,
)
from scitq.model import DEFAULT_BATCH, Access, Changes
from scitq.wire import pack_spec

MEAN_WEIGHT = 0.2
RELAUNCHES_KEPT = 10_000


def apply(state: State, entry: Entry) -> None:
    """Carry out the facts of one entry."""
    for event in entry.events:
        _CARRY_OUT[type(event)](state, event, entry.at)


# ---------------------------------------------------------------------------- how tasks move


def live_task(state: State, task: int) -> Live:
    """The live task, made from an untouched pending one; IllegalMove when it has ended or is none."""
    slot = state.tasks.slot(task)
    if type(slot) is Live:
        return slot
    if task not in state.tasks:
        raise IllegalMove(f"there is no task {task}")
    if type(slot) is bytes:
        raise IllegalMove(f"task {task} has ended: {unpack_end(slot)}")
    live = state.tasks.touch(task)
    state.batches[live.batch].live[task] = live
    return live


def move(state: State, live: Live, place: Place) -> None:
    """Put an unended task in another place; IllegalMove leaves all as it was."""
    old, new = live.place.status, place.status
    check_move(live.id, old, new, live)
    batch = state.batches[live.batch]
    batch.counts[old] -= 1
    batch.counts[new] += 1
    if old == "pending":
        batch.queues[live.priority].remove(live.id)
    if new == "pending":
        batch.queue(live.priority).add(live.id, live.id)
    live.place = place


def recount(state: State, worker: WorkerState) -> None:
    """Note whether the worker has room."""
    if worker.room > 0:
        state.roomy[worker.number] = worker
    else:
        state.roomy.pop(worker.number, None)
    if worker.status == "online" and len(worker.held) > worker.concurrency:
        state.crowded[worker.number] = worker
    else:
        state.crowded.pop(worker.number, None)


def _held(live: Live) -> Held:
    held = live.held
    if held is None:
        raise IllegalMove(f"task {live.id} is with no worker: {live}")
    return held


def _release(state: State, live: Live) -> WorkerState | None:
    held = _held(live)
    worker = state.workers.get(held.worker)
    if worker is not None:
        worker.held.pop(live.id, None)
        recount(state, worker)
    return worker


def end(state: State, live: Live, status: str, reason: str = "") -> None:
    """Put a task to rest; the dependents of a success may become pending."""
    old = live.place.status
    check_move(live.id, old, status, live)
    batch = state.batches[live.batch]
    if old == "pending":
        batch.queues[live.priority].remove(live.id)
    _forget_waiting(state, live)
    batch.counts[old] -= 1
    batch.counts[status] += 1
    batch.live.pop(live.id, None)
    record = EndRecord(events.RESULTS.index(status), live.attempt, live.failures, live.losses, live.past, reason)
    state.tasks.put(live.id, pack_end(record))
    if status == "succeeded":
        for child in state.children.pop(live.id, ()):
            _satisfied(state, child, live.id)


def _satisfied(state: State, child: int, parent: int) -> None:
    live = state.tasks.slot(child)
    if type(live) is Live and isinstance(live.place, Waiting):
        live.place.missing.discard(parent)
        if not live.place.missing:
            move(state, live, PENDING)


def _wait_for(state: State, live: Live, requires: tuple[int, ...]) -> Place:
    missing = {parent for parent in requires if state.status_of(parent) != "succeeded"}
    for parent in missing:
        state.children.setdefault(parent, set()).add(live.id)
    return Waiting(missing) if missing else PENDING


# ---------------------------------------------------------------------------- the mesh and its keys


def _mesh_created(state: State, event: events.MeshCreated, at: float) -> None:
    state.mesh = event.mesh
    state.epoch = event.epoch


def _epoch_raised(state: State, event: events.EpochRaised, at: float) -> None:
    state.epoch = event.epoch


def _broker_started(state: State, event: events.BrokerStarted, at: float) -> None:
    for worker in state.workers.values():
        if worker.status == "online":
            worker.status = "offline"
    state.roomy.clear()
    state.crowded.clear()


def _access_granted(state: State, event: events.AccessGranted, at: float) -> None:
    access = Access(name=event.name, role=event.role, key=event.key, created_at=at)  # type: ignore[arg-type]
    state.access[event.name] = access
    state.keys[event.key] = access


def _access_revoked(state: State, event: events.AccessRevoked, at: float) -> None:
    access = state.access[event.name]
    state.access[event.name] = msgspec.structs.replace(access, revoked_at=at)
    state.keys.pop(access.key, None)


# ---------------------------------------------------------------------------- submits


class _Head(Struct):
    """What placement needs of a specification; the rest is not decoded."""

    batch: str = DEFAULT_BATCH
    priority: int = 0
    requires: tuple[int, ...] = ()


_heads = msgspec.msgpack.Decoder(_Head)


def _part_kept(state: State, event: events.PartKept, at: float) -> None:
    part = state.parts.setdefault(event.request, Part())
    part.parts[event.part] = event
    part.at = at


def _parts_dropped(state: State, event: events.PartsDropped, at: float) -> None:
    del state.parts[event.request]


def _submitted(state: State, event: events.Submitted, at: float) -> None:
    parts = [part for _, part in sorted(state.parts.pop(event.request).parts.items())]
    array = parts[0].array
    specs = None if array is not None else [bytes(spec) for part in parts for spec in part.specs]
    submission = Submission(event.first, specs, array, event.request, event.by, at)
    state.tasks.add(submission)
    state.requests[event.request] = (event.first, event.count)
    if array is not None:
        head = _Head(array.template.batch, array.template.priority, array.template.requires)
        _enqueue(state, submission, event.first, event.first + event.count - 1, head)
        return
    first, last, before = event.first, event.first, None
    for task, spec in enumerate(specs or (), event.first):
        head = _heads.decode(spec)
        if before is not None and head != before:
            _enqueue(state, submission, first, last, before)
            first = task
        last, before = task, head
    if before is not None:
        _enqueue(state, submission, first, last, before)


def _enqueue(state: State, submission: Submission, first: int, last: int, head: _Head) -> None:
    submission.groups += (Group(last, head.batch, head.priority),)
    batch = state.batch(head.batch)
    batch.queue(head.priority).add(first, last)
    batch.counts["pending"] += last - first + 1
    if head.requires:
        for task in range(first, last + 1):
            live = live_task(state, task)
            place = _wait_for(state, live, head.requires)
            if place is not PENDING:
                move(state, live, place)


# ---------------------------------------------------------------------------- what users order


def _edited(state: State, event: events.Edited, at: float) -> None:
    for task in members(event.tasks):
        edit(state, task, event.changes)


def edit(state: State, task: int, changes: Changes) -> None:
    """Give a pending or waiting task another specification."""
    spec = state.tasks.spec(task)
    asdict = {name: value for name in changes.__struct_fields__
              if (value := getattr(changes, name)) is not msgspec.UNSET}  # fmt: skip
    if not asdict:
        return
    edited = msgspec.structs.replace(spec, **asdict)
    if (edited.batch, edited.priority) != (spec.batch, spec.priority):
        live = live_task(state, task)
        pending = live.place.status == "pending"
        old = state.batches[live.batch]
        if pending:
            old.queues[live.priority].remove(task)
        old.counts[live.place.status] -= 1
        del old.live[task]
        live.batch, live.priority = edited.batch, edited.priority
        new = state.batch(live.batch)
        new.live[task] = live
        new.counts[live.place.status] += 1
        if pending:
            new.queue(live.priority).add(task, task)
    state.tasks.edited[task] = pack_spec(edited)
    if changes.requires is not msgspec.UNSET:
        _wait_anew(state, live_task(state, task), edited.requires)
    slot = state.tasks.slot(task)
    if type(slot) is Live:
        slot.barred = slot.attempt


def _wait_anew(state: State, live: Live, requires: tuple[int, ...]) -> None:
    """Let a queued task wait for other tasks than before."""
    if live.place.status not in ("pending", "waiting"):
        return
    _forget_waiting(state, live)
    place = _wait_for(state, live, requires)
    if place.status != live.place.status:
        move(state, live, place)
    else:
        live.place = place


def _cancelled(state: State, event: events.Cancelled, at: float) -> None:
    untouched = pack_end(EndRecord(events.RESULTS.index("cancelled"), 0, 0, 0, (), event.reason))
    for task in members(event.tasks):
        slot = state.tasks.slot(task)
        if slot is not None:
            end(state, live_task(state, task), "cancelled", event.reason)
            continue
        group = state.tasks.submission(task).group(task)
        batch = state.batches[group.batch]
        batch.queues[group.priority].remove(task)
        batch.counts["pending"] -= 1
        batch.counts["cancelled"] += 1
        state.tasks.put(task, untouched)


def _relaunched(state: State, event: events.Relaunched, at: float) -> None:
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
        live = Live(task, spec.batch, spec.priority)
        live.attempt, live.barred, live.past = record.attempt, record.attempt, record.past
        batch = state.batch(spec.batch)
        batch.counts[events.RESULTS[record.status]] -= 1
        batch.counts["pending"] += 1
        batch.queue(spec.priority).add(task, task)
        batch.live[task] = live
        state.tasks.put(task, live)
        edit(state, task, event.changes)
        place = _wait_for(state, live, spec.requires)
        if place is not PENDING:
            move(state, live, place)


def _deleted(state: State, event: events.Deleted, at: float) -> None:
    for task in members(event.tasks):
        slot = state.tasks.slot(task)
        status = state.status_of(task)
        batch = state.batches[state.batch_of(task)]
        if type(slot) is Live:
            if slot.held is not None:
                raise IllegalMove(f"task {task} is with a worker: {slot}")
            past = slot.past
            _forget_waiting(state, slot)
        else:
            past = unpack_end(slot).past if type(slot) is bytes else ()
        if status == "pending":
            priority = slot.priority if type(slot) is Live else state.tasks.submission(task).group(task).priority
            batch.queues[priority].remove(task)
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


def _batch_stopped(state: State, event: events.BatchStopped, at: float) -> None:
    state.batch(event.batch).stopped = event.how


def _batch_started(state: State, event: events.BatchStarted, at: float) -> None:
    state.batch(event.batch).stopped = ""


def _batch_deleted(state: State, event: events.BatchDeleted, at: float) -> None:
    del state.batches[event.batch]


# ---------------------------------------------------------------------------- attempts


def _assigned(state: State, event: events.Assigned, at: float) -> None:
    worker = state.workers[event.worker]
    for task in event.tasks:
        live = live_task(state, task)
        move(state, live, Held(worker.number, live.attempt + 1, state.epoch, "assigned", at))
        live.attempt += 1
        worker.held[task] = live
    recount(state, worker)


def _asked(state: State, event: events.Asked, at: float) -> None:
    for task in event.tasks:
        live = live_task(state, task)
        place = live.place
        if isinstance(place, Returning):  # asked again: the later intent counts
            live.place = place._replace(intent=event.intent, changes=event.changes, standby=event.standby)
            continue
        check_move(task, place.status, "returning", live)
        assert isinstance(place, Held)
        move(state, live, Returning(place, event.intent, event.changes, event.standby))


def _queued_again(state: State, event: events.Returned | events.Requeued, at: float) -> None:
    for task in event.tasks:
        live = live_task(state, task)
        held = _held(live)
        check_move(task, live.place.status, "pending", live)
        _release(state, live)
        if type(event) is events.Requeued:
            live.let_go = held._replace(started_at=None, halted=False)
        state.released += [log.pointer for log in live.logs.values() if log.pointer >= 0]
        live.logs = {}
        move(state, live, PENDING)


def _kept(state: State, event: events.Kept, at: float) -> None:
    for task in event.tasks:
        live = live_task(state, task)
        move(state, live, _held(live))


def _entered(state: State, event: events.Entered, at: float) -> None:
    for task, when in zip(event.tasks, event.times, strict=True):
        live = live_task(state, task)
        held = _held(live)
        started = when if event.phase == "running" else held.started_at
        now = held._replace(status=event.phase, started_at=started)
        if isinstance(live.place, Returning) and event.phase == "staging":
            live.place = live.place._replace(held=now)
        else:
            move(state, live, now)


def _halt_asked(state: State, event: events.HaltAsked, at: float) -> None:
    for task in event.tasks:
        live = live_task(state, task)
        if not isinstance(live.place, Held):
            raise IllegalMove(f"task {task} cannot be halted: {live}")
        live.place = live.place._replace(halted=True)


def _ended(state: State, event: events.Ended, at: float) -> None:
    live, result = live_task(state, event.task), event.result
    status = events.RESULTS[result.status]
    check_move(live.id, live.place.status, "pending" if event.again else status, live)
    worker = _release(state, live)
    if worker is not None:
        _measure(worker, status, result)
        recount(state, worker)
    live.past = (*live.past, result)
    live.logs = {}
    if events.CLASSES[result.class_] == "lost":
        live.losses += 1
    elif status == "failed":
        live.failures += 1
    if event.again:
        move(state, live, PENDING)
    else:
        end(state, live, status)


def _measure(worker: WorkerState, status: str, result: Result) -> None:
    if events.CLASSES[result.class_] == "lost":
        return
    if status == "succeeded":
        worker.succeeded += 1
    elif status == "failed":
        worker.failed += 1
    seconds = max(result.run_ms, 1) / 1000
    mean = worker.run_seconds
    worker.run_seconds = seconds if mean is None else mean + MEAN_WEIGHT * (seconds - mean)


def _reinstated(state: State, event: events.Reinstated, at: float) -> None:
    live, worker = live_task(state, event.task), state.workers[event.worker]
    check_move(live.id, live.place.status, event.phase, live)
    earlier = next((result for result in live.past if result.attempt == event.attempt), None)
    if earlier is not None:
        assigned_at = earlier.assigned_at
        started = None if earlier.started_ms is None else assigned_at + earlier.started_ms / 1000
        live.past = tuple(result for result in live.past if result is not earlier)
        live.losses -= 1
        logs = ((0, earlier.stdout), (1, earlier.stderr))
        live.logs = {stream: LogEnd(log.head, -1 if log.pointer is None else log.pointer, refused=log.note)
                     for stream, log in logs if log is not None}  # fmt: skip
    else:
        assert live.let_go is not None, live
        assigned_at, started = live.let_go.assigned_at, None
        live.let_go = None
    move(state, live, Held(worker.number, event.attempt, event.epoch, event.phase, assigned_at, started))
    worker.held[event.task] = live
    recount(state, worker)


def _log_kept(state: State, event: events.LogKept, at: float) -> None:
    for task, stream, following, pointer, tail in event.marks:
        live = live_task(state, task)
        live.logs[stream] = live.logs.get(stream, LogEnd()).kept(following, pointer, tail)


def _log_refused(state: State, event: events.LogRefused, at: float) -> None:
    live = live_task(state, event.task)
    live.logs[event.stream] = live.logs.get(event.stream, LogEnd())._replace(refused=event.note)


def _set_aside(state: State, event: events.SetAside, at: float) -> None:
    state.set_aside.append(event)


# ---------------------------------------------------------------------------- workers


def _worker_joined(state: State, event: events.WorkerJoined, at: float) -> None:
    worker = state.workers.get(event.worker)
    if worker is None:
        worker = state.workers[event.worker] = WorkerState(event.worker, event.id, event.name)
        worker.joined_at = at
        state.worker_ids[event.id] = event.worker
        state.next_worker = max(state.next_worker, event.worker + 1)
    worker.name = event.name
    worker.batch = event.batch
    worker.concurrency = event.concurrency
    worker.prefetch = event.prefetch
    worker.hostname = event.hostname
    worker.cpus = event.cpus
    worker.memory = event.memory
    worker.version = event.version
    worker.status = "online"
    worker.seen_at = at
    recount(state, worker)


def _worker_offline(state: State, event: events.WorkerOffline, at: float) -> None:
    worker = state.workers[event.worker]
    worker.status = "offline"
    worker.seen_at = at
    recount(state, worker)


def _worker_lost(state: State, event: events.WorkerLost, at: float) -> None:
    worker = state.workers[event.worker]
    worker.status = "lost"
    recount(state, worker)


def _worker_changed(state: State, event: events.WorkerChanged, at: float) -> None:
    worker = state.workers[event.worker]
    worker.concurrency = event.concurrency
    worker.prefetch = event.prefetch
    worker.batch = event.batch
    worker.paused = event.paused
    recount(state, worker)


def _worker_deleted(state: State, event: events.WorkerDeleted, at: float) -> None:
    worker = state.workers.pop(event.worker)
    state.worker_ids.pop(worker.id, None)
    state.roomy.pop(event.worker, None)
    state.crowded.pop(event.worker, None)
    state.former[event.worker] = worker.name


# ---------------------------------------------------------------------------- snapshots


def _folded(state: State, event: events.Folded, at: float) -> None:
    live = live_task(state, event.task)
    live.attempt, live.failures, live.losses = event.attempt, event.failures, event.losses
    live.past = event.past
    for stream, following, pointer, head, tail, refused in event.logs:
        live.logs[stream] = LogEnd(following, pointer, head, tail, refused)
    batch = state.batches[live.batch]
    if live.place.status == "pending":
        batch.queues[live.priority].remove(live.id)
    _forget_waiting(state, live)
    batch.counts[live.place.status] -= 1
    batch.counts[event.state] += 1
    if event.let_go is not None:
        back = event.let_go
        live.let_go = Held(back.worker, back.attempt, back.epoch, back.phase, event.let_go_at)
    live.barred = event.barred
    if event.state == "pending":
        batch.queue(live.priority).add(live.id, live.id)
        live.place = PENDING
        return
    if event.state == "waiting":
        live.place = Waiting(set(event.numbers))
        for parent in event.numbers:
            state.children.setdefault(parent, set()).add(live.id)
        return
    number, attempt, epoch = event.numbers
    assigned_at, started_at = event.times
    assert assigned_at is not None
    held = Held(number, attempt, epoch, event.phase, assigned_at, started_at)
    if event.state == "returning":
        live.place = Returning(held, event.intent, event.changes, event.standby)
    else:
        live.place = held._replace(halted=bool(event.intent))
    worker = state.workers[number]
    worker.held[event.task] = live
    recount(state, worker)


def _forget_waiting(state: State, live: Live) -> None:
    if isinstance(live.place, Waiting):
        for parent in live.place.missing:
            waiting = state.children.get(parent, set())
            waiting.discard(live.id)
            if not waiting:
                state.children.pop(parent, None)


def _ends_folded(state: State, event: events.EndsFolded, at: float) -> None:
    for task, packed in zip(event.tasks, event.packed, strict=True):
        slot = state.tasks.slot(task)
        if type(slot) is Live:  # an edit made it, or its dependencies
            group_batch, priority, status = slot.batch, slot.priority, slot.place.status
            _forget_waiting(state, slot)
            state.batches[group_batch].live.pop(task, None)
        else:
            group = state.tasks.submission(task).group(task)
            group_batch, priority, status = group.batch, group.priority, "pending"
        batch = state.batches[group_batch]
        if status == "pending":
            batch.queues[priority].remove(task)
        batch.counts[status] -= 1
        batch.counts[events.RESULTS[packed[1]]] += 1
        state.tasks.put(task, packed)


def _specs_folded(state: State, event: events.SpecsFolded, at: float) -> None:
    for task, packed in zip(event.tasks, event.packed, strict=True):
        head = _heads.decode(packed)
        edit(state, task, Changes(batch=head.batch, priority=head.priority))
        state.tasks.edited[task] = packed


def _counted(state: State, event: events.Counted, at: float) -> None:
    state.tasks.next = event.next_task
    state.next_worker = event.next_worker
    for number, succeeded, failed in event.workers:
        worker = state.workers[number]
        worker.succeeded, worker.failed = succeeded, failed
    for number, mean in event.means.items():
        state.workers[number].run_seconds = mean
        recount(state, state.workers[number])
    state.former.update(event.former)
    state.relaunches.update(event.relaunches)
    for index in range(0, len(event.deleted), 2):
        state.tasks.deleted.add(event.deleted[index], event.deleted[index + 1])


_CARRY_OUT: dict[type, Callable[[State, Any, float], None]] = {
    events.MeshCreated: _mesh_created,
    events.EpochRaised: _epoch_raised,
    events.BrokerStarted: _broker_started,
    events.AccessGranted: _access_granted,
    events.AccessRevoked: _access_revoked,
    events.PartKept: _part_kept,
    events.PartsDropped: _parts_dropped,
    events.Submitted: _submitted,
    events.Edited: _edited,
    events.Cancelled: _cancelled,
    events.Relaunched: _relaunched,
    events.Deleted: _deleted,
    events.BatchStopped: _batch_stopped,
    events.BatchStarted: _batch_started,
    events.BatchDeleted: _batch_deleted,
    events.Assigned: _assigned,
    events.Asked: _asked,
    events.Returned: _queued_again,
    events.Requeued: _queued_again,
    events.Kept: _kept,
    events.Entered: _entered,
    events.HaltAsked: _halt_asked,
    events.Ended: _ended,
    events.Reinstated: _reinstated,
    events.LogKept: _log_kept,
    events.LogRefused: _log_refused,
    events.SetAside: _set_aside,
    events.WorkerJoined: _worker_joined,
    events.WorkerOffline: _worker_offline,
    events.WorkerLost: _worker_lost,
    events.WorkerChanged: _worker_changed,
    events.WorkerDeleted: _worker_deleted,
    events.Folded: _folded,
    events.EndsFolded: _ends_folded,
    events.SpecsFolded: _specs_folded,
    events.Counted: _counted,
}
