"""Batches: go, stop in four ways, delete."""

from scitq import wire
from scitq.broker import events
from scitq.broker.commands import Decision, Peer, Wait
from scitq.broker.intervals import runs_of
from scitq.broker.rules.orders import ask_back, halt, held_of, sort_out_deletable
from scitq.broker.state import BatchState, State
from scitq.errors import Conflict, NotFound
from scitq.wire import Ref


def _known(state: State, name: str) -> BatchState:
    batch = state.batches.get(name)
    if batch is None:
        raise NotFound(f"there is no batch {name}")
    return batch


def _at_work(batch: BatchState, *statuses: str) -> list[int]:
    return [task for task, live in batch.live.items() if live.place.status in statuses]


def stop(state: State, peer: Peer, message: wire.BatchStop, decision: Decision) -> None:
    """Start nothing more of the batch; the answer comes when no worker can start any of it."""
    batch = _known(state, message.batch)
    decision.fact(events.BatchStopped(batch.name, message.how))
    handed = _at_work(batch, "assigned", "staging")
    ask_back(state, handed, "requeue", None, decision)
    running = _at_work(batch, "running", "uploading")
    if message.how == "suspend":
        for worker, refs in _by_worker(state, running).items():
            decision.send(worker, wire.Suspend(tasks=tuple(refs)))
    elif message.how != "stop":
        halt(state, running, decision, terminate=message.how == "terminate")
    awaited = handed + _at_work(batch, "returning")
    decision.waits.append(Wait(peer.route, message.id, tuple(awaited), len(running) + len(handed), (), edit=False))


def go(state: State, peer: Peer, message: wire.BatchGo, decision: Decision) -> None:
    """Let the batch go on, the suspended included."""
    batch = _known(state, message.batch)
    if batch.stopped:  # another stop may have followed the one that suspended
        for worker, refs in _by_worker(state, _at_work(batch, "running", "uploading")).items():
            decision.send(worker, wire.Resume(tasks=tuple(refs)))
    decision.fact(events.BatchStarted(batch.name))
    decision.send(peer.route, wire.Done(id=message.id, count=batch.unended))


def delete(state: State, peer: Peer, message: wire.BatchDelete, decision: Decision) -> None:
    """Forget the batch and its tasks; refused while workers hold some of them, or some wait, unless `force`."""
    batch = _known(state, message.batch)
    queued = batch.counts["pending"] + batch.counts["waiting"]
    if queued and not message.force:
        raise Conflict(f"batch {batch.name} has {queued} tasks that have not run: --force forgets them too")
    tasks = [task for task in state.tasks.ids() if state.batch_of(task) == batch.name]
    gone: list[int] = []
    kept: list[str] = []
    sort_out_deletable(
        state, tasks, gone.append, lambda task, why: kept.append(f"task {task} {why}"), force=message.force
    )
    if kept:
        raise Conflict(f"batch {batch.name} stays: {kept[0]}" + (f", and {len(kept) - 1} more" if kept[1:] else ""))
    if gone:
        decision.fact(events.Deleted(runs_of(gone)))
    decision.fact(events.BatchDeleted(batch.name))
    decision.send(peer.route, wire.Done(id=message.id, count=len(gone)))


def _by_worker(state: State, tasks: list[int]) -> dict[int, list[Ref]]:
    orders: dict[int, list[Ref]] = {}
    for task in tasks:
        held = held_of(state, task)
        orders.setdefault(held.worker, []).append(Ref(task, held.attempt, held.epoch))
    return orders
