"""Facts of workers."""

from scitq.broker import events
from scitq.broker.facts.moving import recount
from scitq.broker.state import State, WorkerState


def worker_joined(state: State, event: events.WorkerJoined, at: float) -> None:
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
    worker.engine = event.engine
    worker.gpus = event.gpus
    worker.disk = event.disk
    worker.status = "online"
    worker.seen_at = at
    recount(state, worker)


def worker_offline(state: State, event: events.WorkerOffline, at: float) -> None:
    worker = state.workers[event.worker]
    worker.status = "offline"
    worker.seen_at = at
    recount(state, worker)


def worker_lost(state: State, event: events.WorkerLost, at: float) -> None:
    worker = state.workers[event.worker]
    worker.status = "lost"
    recount(state, worker)


def worker_changed(state: State, event: events.WorkerChanged, at: float) -> None:
    worker = state.workers[event.worker]
    worker.concurrency = event.concurrency
    worker.prefetch = event.prefetch
    worker.batch = event.batch
    worker.paused = event.paused
    recount(state, worker)


def worker_deleted(state: State, event: events.WorkerDeleted, at: float) -> None:
    worker = state.workers.pop(event.worker)
    state.worker_ids.pop(worker.id, None)
    state.roomy.pop(event.worker, None)
    state.idle.pop(event.worker, None)
    state.uncounted.pop(event.worker, None)
    state.claimed.pop(event.worker, None)
    state.crowded.pop(event.worker, None)
    state.former[event.worker] = worker.name
