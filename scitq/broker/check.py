"""`check(state)`: what must hold after every step; used by tests and `scitq broker check`."""

from scitq.broker.state import State
from scitq.broker.tasks import Held, Live, Returning, Waiting
from scitq.model import ENDED


def check(state: State) -> list[str]:
    """The broken invariants, one line each; empty when all is well."""
    broken: list[str] = []
    counts: dict[str, dict[str, int]] = {}
    held: dict[int, set[int]] = {}
    for task in state.tasks.ids():
        status, batch = state.status_of(task), state.batch_of(task)
        per_batch = counts.setdefault(batch, {})
        per_batch[status] = per_batch.get(status, 0) + 1
        slot = state.tasks.slot(task)
        queued = any(task in queue for queue in state.batches[batch].queues.values())
        if queued != (status == "pending"):
            broken.append(f"task {task} is {status} and {'' if queued else 'not '}queued")
        if type(slot) is Live:
            broken += _live(state, task, slot)
            if slot.held is not None:
                held.setdefault(slot.held.worker, set()).add(task)
        elif status not in ENDED and status != "pending":
            broken.append(f"task {task} is {status} without a place")
    for name, batch_state in state.batches.items():
        expected = counts.pop(name, {})
        for status, number in batch_state.counts.items():
            if number != expected.get(status, 0):
                broken.append(f"batch {name} counts {number} {status}, has {expected.get(status, 0)}")
        if batch_state.lanes != sorted(batch_state.queues) or not all(batch_state.queues.values()):
            broken.append(f"batch {name} has the lanes {batch_state.lanes}, and queues {batch_state.queues}")
        for task in batch_state.live:
            if type(state.tasks.slot(task)) is not Live:
                broken.append(f"batch {name} lists task {task} as unended")
    broken += [f"batch {name} has tasks and no state" for name in counts]
    for worker in state.workers.values():
        if set(worker.held) != held.pop(worker.number, set()):
            broken.append(f"worker {worker.name} lists other tasks than say they are there")
        stored = {task for task, live in worker.held.items() if live.held and live.held.status == "uploading"}
        if worker.storing != stored:
            broken.append(f"worker {worker.name} stores {sorted(worker.storing)}, has {sorted(stored)}")
        claims = [
            (task, live.lane.needs)
            for task, live in worker.held.items()
            if task not in stored and live.lane.needs.asks
        ]
        if list(worker.claims.items()) != claims:
            broken.append(f"worker {worker.name} is asked for {worker.claims}, and by what it holds for {claims}")
        if (worker.number in state.claimed) != bool(claims):
            broken.append(f"worker {worker.name} is asked for {claims} and is listed otherwise")
        if (worker.number in state.roomy) != (worker.room > 0):
            broken.append(f"worker {worker.name} has room {worker.room} and is listed otherwise")
        if (worker.number in state.idle) != (worker.room > 0 and not worker.held):
            broken.append(f"worker {worker.name} holds {len(worker.held)} tasks and is listed otherwise")
    broken += [f"tasks {sorted(tasks)} are with worker {number}, who is none" for number, tasks in held.items()]
    return broken


def _live(state: State, task: int, live: Live) -> list[str]:
    broken = []
    if live.id != task:
        broken.append(f"task {task} has the place of {live.id}")
    if live.batch not in state.batches or task not in state.batches[live.batch].live:
        broken.append(f"task {task} is not listed in its batch {live.batch}")
    place = live.place
    if isinstance(place, Waiting):
        if not place.missing:
            broken.append(f"task {task} waits for nothing")
        strangers = [parent for parent in place.missing if task not in state.children.get(parent, ())]
        broken += [f"task {task} waits for {parent}, which does not know" for parent in strangers]
    if isinstance(place, Held | Returning):
        assert live.held is not None
        if live.held.attempt > live.attempt:
            broken.append(f"task {task} holds attempt {live.held.attempt}, past the last number {live.attempt}")
    numbers = [result.attempt for result in live.past]
    if len(set(numbers)) != len(numbers):
        broken.append(f"task {task} ended one attempt twice: {numbers}")
    return broken
