"""Facts of snapshots: what `fold` writes so that the state is made again without its history."""

from scitq.broker import events
from scitq.broker.facts.moving import edit, forget_waiting, hold, live_task, recount
from scitq.broker.intervals import runs_of
from scitq.broker.state import State
from scitq.broker.tasks import PENDING, Held, Live, LogEnd, Returning, Waiting, heads
from scitq.model import Changes


def folded(state: State, event: events.Folded, at: float) -> None:
    live = live_task(state, event.task)
    live.attempt, live.failures, live.losses = event.attempt, event.failures, event.losses
    live.past = event.past
    for stream, following, pointer, head, tail, refused in event.logs:
        live.logs[stream] = LogEnd(following, pointer, head, tail, refused)
    batch = state.batches[live.batch]
    if live.place.status == "pending":
        batch.dequeue(live.lane, live.id, live.id)
    forget_waiting(state, live)
    batch.counts[live.place.status] -= 1
    batch.counts[event.state] += 1
    if event.let_go is not None:
        back = event.let_go
        live.let_go = Held(back.worker, back.attempt, back.epoch, back.phase, event.let_go_at)
    live.barred = event.barred
    if event.state == "pending":
        batch.enqueue(live.lane, live.id, live.id)
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
    hold(worker, live)
    recount(state, worker)


def ends_folded(state: State, event: events.EndsFolded, at: float) -> None:
    untouched: list[int] = []
    for task, packed in zip(event.tasks, event.packed, strict=True):
        slot = state.tasks.slot(task)
        if type(slot) is Live:  # an edit made it, or its dependencies
            batch, status = state.batches[slot.batch], slot.place.status
            forget_waiting(state, slot)
            batch.live.pop(task, None)
            if status == "pending":
                batch.dequeue(slot.lane, task, task)
            batch.counts[status] -= 1
            batch.counts[events.RESULTS[packed[1]]] += 1
        else:
            untouched.append(task)
        state.tasks.put(task, packed)
    runs = iter(runs_of(untouched))
    for first in runs:
        _ends_of_untouched(state, first, next(runs))


def _ends_of_untouched(state: State, first: int, last: int) -> None:
    """Take a run of tasks out of their queues, and count them as what their slots say by now."""
    while first <= last:
        group = state.tasks.submission(first).group(first)
        upto = min(last, group.last)
        batch = state.batches[group.batch]
        batch.dequeue(group.lane, first, upto)
        batch.counts["pending"] -= upto - first + 1
        for task in range(first, upto + 1):
            batch.counts[state.status_of(task)] += 1
        first = upto + 1


def specs_folded(state: State, event: events.SpecsFolded, at: float) -> None:
    for task, packed in zip(event.tasks, event.packed, strict=True):
        head = heads.decode(packed)
        placing = {name: getattr(head, name) for name in head.__struct_fields__ if name != "requires"}
        edit(state, task, Changes(**placing))
        state.tasks.edited[task] = packed


def counted(state: State, event: events.Counted, at: float) -> None:
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
