"""How tasks move between places: the one way for every fact that moves one."""

import msgspec

from scitq.broker import events
from scitq.broker.moves import MOVES, IllegalMove, check_move
from scitq.broker.offers import Offer
from scitq.broker.state import State, WorkerState
from scitq.broker.tasks import PENDING, EndRecord, Held, Live, Place, Waiting, lane_of, pack_end, unpack_end
from scitq.errors import NotFound
from scitq.model import Changes
from scitq.wire import pack_spec

_PLACE = dict(zip(events.RESULTS, range(len(events.RESULTS)), strict=True))


def live_task(state: State, task: int) -> Live:
    """The live task, made from an untouched pending one; IllegalMove when it has ended or is none."""
    slot = state.tasks.slot(task)
    if type(slot) is Live:
        return slot
    if type(slot) is bytes:
        raise IllegalMove(f"task {task} has ended: {unpack_end(slot)}")
    try:
        live = state.tasks.begin(task)
    except NotFound:
        raise IllegalMove(f"there is no task {task}") from None
    state.batches[live.batch].live[task] = live
    return live


def move(state: State, live: Live, place: Place) -> None:
    """Put an unended task in another place; IllegalMove leaves all as it was."""
    old, new = live.place.status, place.status
    if new not in MOVES[old]:
        check_move(live.id, old, new, live)
    batch = state.batches[live.batch]
    batch.counts[old] -= 1
    batch.counts[new] += 1
    if old == "pending":
        batch.dequeue(live.lane, live.id, live.id)
    if new == "pending":
        batch.enqueue(live.lane, live.id, live.id)
    live.place = place


def recount(state: State, worker: WorkerState) -> None:
    """Note whether the worker has room."""
    if worker.room > 0:
        state.roomy[worker.number] = worker
    else:
        state.roomy.pop(worker.number, None)
    if not worker.held and worker.number in state.roomy:
        state.idle[worker.number] = worker
    else:
        state.idle.pop(worker.number, None)
    if worker.claims:
        state.claimed[worker.number] = worker
    else:
        state.claimed.pop(worker.number, None)
    if worker.status == "online" and (
        worker.busy > worker.concurrency or (worker.claims and Offer(worker).overdrawn)
    ):
        state.crowded[worker.number] = worker
    else:
        state.crowded.pop(worker.number, None)


def hold(worker: WorkerState, live: Live) -> None:
    """Have the worker hold the task, which is placed there."""
    worker.held[live.id] = live
    if hold_of(live).status == "uploading":
        worker.storing.add(live.id)
        worker.claims.pop(live.id, None)
    elif (needs := live.lane.needs).asks:
        worker.claims[live.id] = needs


def hold_of(live: Live) -> Held:
    """The hold a worker has on the task; IllegalMove when none has."""
    held = live.held
    if held is None:
        raise IllegalMove(f"task {live.id} is with no worker: {live}")
    return held


def release(state: State, live: Live) -> WorkerState | None:
    """Let the worker go of the task; the worker, if it is still one."""
    worker = state.workers.get(hold_of(live).worker)
    if worker is not None:
        worker.held.pop(live.id, None)
        worker.storing.discard(live.id)
        if worker.claims:
            worker.claims.pop(live.id, None)
        state.uncounted[worker.number] = worker
    return worker


def end(state: State, live: Live, status: str, reason: str = "") -> None:
    """Put a task to rest that may go there (see `check_move`); the dependents of a success may become pending."""
    old = live.place.status
    batch = state.batches[live.batch]
    if old == "pending":
        batch.dequeue(live.lane, live.id, live.id)
    elif old == "waiting":
        forget_waiting(state, live)
    batch.counts[old] -= 1
    batch.counts[status] += 1
    batch.live.pop(live.id, None)
    record = EndRecord(_PLACE[status], live.attempt, live.failures, live.losses, live.past, reason)
    state.tasks.put(live.id, pack_end(record))
    if status == "succeeded" and state.children:
        for child in state.children.pop(live.id, ()):
            _satisfied(state, child, live.id)


def _satisfied(state: State, child: int, parent: int) -> None:
    live = state.tasks.slot(child)
    if type(live) is Live and isinstance(live.place, Waiting):
        live.place.missing.discard(parent)
        if not live.place.missing:
            move(state, live, PENDING)


def wait_for(state: State, live: Live, requires: tuple[int, ...]) -> Place:
    """Where a queued task belongs: waiting for those of `requires` that have not succeeded, or pending."""
    missing = {parent for parent in requires if state.status_of(parent) != "succeeded"}
    for parent in missing:
        state.children.setdefault(parent, set()).add(live.id)
    return Waiting(missing) if missing else PENDING


def forget_waiting(state: State, live: Live) -> None:
    """It waits for nobody any more."""
    if isinstance(live.place, Waiting):
        for parent in live.place.missing:
            waiting = state.children.get(parent, set())
            waiting.discard(live.id)
            if not waiting:
                state.children.pop(parent, None)


def _wait_anew(state: State, live: Live, requires: tuple[int, ...]) -> None:
    """Let a queued task wait for other tasks than before."""
    if live.place.status not in ("pending", "waiting"):
        return
    forget_waiting(state, live)
    place = wait_for(state, live, requires)
    if place.status != live.place.status:
        move(state, live, place)
    else:
        live.place = place


def edit(state: State, task: int, changes: Changes) -> None:
    """Give a pending or waiting task another specification."""
    spec = state.tasks.spec(task)
    asdict = {name: value for name in changes.__struct_fields__
              if (value := getattr(changes, name)) is not msgspec.UNSET}  # fmt: skip
    if not asdict:
        return
    edited = msgspec.structs.replace(spec, **asdict)
    if (edited.batch, lane_of(edited)) != (spec.batch, lane_of(spec)):
        live = live_task(state, task)
        pending = live.place.status == "pending"
        old = state.batches[live.batch]
        if pending:
            old.dequeue(live.lane, task, task)
        old.counts[live.place.status] -= 1
        del old.live[task]
        live.batch, live.lane = edited.batch, lane_of(edited)
        new = state.batch(live.batch)
        new.live[task] = live
        new.counts[live.place.status] += 1
        if pending:
            new.enqueue(live.lane, task, task)
    state.tasks.edited[task] = pack_spec(edited)
    if changes.requires is not msgspec.UNSET:
        _wait_anew(state, live_task(state, task), edited.requires)
    slot = state.tasks.slot(task)
    if type(slot) is Live:
        slot.barred = slot.attempt
