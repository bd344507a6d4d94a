"""Why a task or a batch does nothing: pure, in lines for people, the most telling first."""

from collections.abc import Callable
from functools import cache

from scitq.broker import packing
from scitq.broker.lacks import never, until
from scitq.broker.offers import Offer
from scitq.broker.rules.reads import waiting_reason, worker_name
from scitq.broker.schedule import MOST
from scitq.broker.state import BatchState, State, WorkerState
from scitq.broker.tasks import Held, Lane, Live, Returning, unpack_end
from scitq.errors import NotFound
from scitq.needs import PLAIN, Needs

LANES_TOLD = 20  # of a batch, the first ones

Look = Callable[[], packing.Packed]  # at what the next round would do: asked for once, however many lanes want it


def explain_task(state: State, task: int) -> list[str]:
    """What the task is doing, and what it needs to go on."""
    if task not in state.tasks:
        raise NotFound(f"there is no task {task}")
    slot = state.tasks.slot(task)
    status = state.status_of(task)
    lines = [f"task {task} is {status}"]
    if type(slot) is bytes:
        record = unpack_end(slot)
        if record.reason:
            lines.append(record.reason)
        elif record.past:
            last = record.past[-1]
            lines.append(
                f"attempt {last.attempt} on {worker_name(state, last.worker)}"
                + (f": {last.reason}" if last.reason else f" ended with exit code {last.exit_code}")
            )
        if status != "succeeded":
            lines.append(f"`scitq manage task relaunch {task}` queues it again")
        return lines
    if type(slot) is Live:
        if slot.past:
            last = slot.past[-1]
            lines.append(
                f"attempt {last.attempt} on {worker_name(state, last.worker)} did not count as its end: {last.reason}"
            )
        if isinstance(slot.place, Held | Returning):
            return lines + _held(state, slot)
        if status == "waiting":
            return [*lines, waiting_reason(state, slot)]
    batch = state.batches[state.batch_of(task)]
    lane = slot.lane if type(slot) is Live else state.tasks.submission(task).group(task).lane
    lines += _why_idle(state, batch, lane, task, _look(state))
    if len(lines) == 1:
        ahead = _ahead(batch, task, lane)
        lines.append(f"{ahead} tasks of batch {batch.name} go before it" if ahead else "it is next in its batch")
    return lines


def explain_batch(state: State, name: str) -> list[str]:
    """What the batch is doing, and what it needs to go on."""
    batch = state.batches.get(name)
    if batch is None:
        raise NotFound(f"there is no batch {name}")
    counted = ", ".join(f"{number} {status}" for status, number in batch.counts.items() if number)
    lines = [f"batch {name}: {counted or 'no tasks'}"]
    look = _look(state)
    firsts = sorted((-lane.priority, queue.first(), lane) for lane, queue in batch.queues.items())
    for _, task, lane in firsts[:LANES_TOLD]:
        lines += [line for line in _why_idle(state, batch, lane, task, look) if line not in lines]
    if batch.unended and not firsts:
        lines += _why_idle(state, batch, Lane(0, PLAIN), 0, look)
    return lines


def _held(state: State, live: Live) -> list[str]:
    held = live.held
    assert held is not None
    worker = state.workers[held.worker]
    lines = [f"attempt {held.attempt} is with worker {worker.name}, which is {worker.status}"]
    if isinstance(live.place, Returning):
        lines.append(f"it was asked back ({live.place.intent}); the worker has not answered yet")
    elif live.place.status == "assigned" and worker.busy > worker.concurrency:
        lines.append(f"it waits for one of the worker's {worker.concurrency} slots")
    elif live.place.status == "assigned" and worker.claims and Offer(worker).overdrawn:
        lines.append("it waits for what it asks for: others have it still")
    if live.lane.needs.container and not worker.engine:
        started = live.place.status not in ("assigned", "staging")
        what = "the task goes on when it does" if started else "unless it does soon, the task is given to another"
        lines.append(f"the worker's container engine does not answer now: {what}")
    if worker.status == "offline":
        lines.append("if the worker stays away past the grace, the task is given to another")
    return lines


def _look(state: State) -> Look:
    return cache(lambda: packing.pack(state, frozenset(), MOST))


def _why_idle(state: State, batch: BatchState, lane: Lane, task: int, look: Look) -> list[str]:
    """`task`: the first of the lane, or another of it."""
    if batch.stopped:
        return [f"batch {batch.name} is stopped: `scitq manage batch go -n {batch.name}`"]
    serving = list(state.serving(batch.name))
    online = [worker for worker in serving if worker.status == "online"]
    if not online:
        return [_no_worker(batch, serving)]
    awake = [worker for worker in online if not worker.paused]
    if not awake:
        return [f"all workers of the batch are paused: {_names(online)} (`scitq manage worker resume NAME`)"]
    able = [worker for worker in awake if worker.could(lane.needs)]
    if not able:
        no_engine = lane.needs.container and not any(worker.engine for worker in awake)
        how = f": {_names(awake)} (install docker there)" if no_engine else ""
        return [f"no worker of batch {batch.name} has {never(awake, lane.needs)}{how}"]
    roomy = [worker for worker in able if worker.room > 0]
    if not roomy:
        slots = sum(worker.concurrency for worker in able)
        means = " with what it asks for" if lane.needs.asks else " with a container engine"
        which = means if len(able) < len(awake) else ""
        return [f"all {slots} slots of the {len(able)} workers of batch {batch.name}{which} are taken"]
    return _why_not_there(look(), roomy, lane.needs, task) if packing.asked(state) else []


def _why_not_there(packed: packing.Packed, roomy: list[WorkerState], needs: Needs, task: int) -> list[str]:
    """Of a task that has its turn among those that ask the same, though some of these workers have a slot."""
    if any(task in tasks for tasks in packed.placed.values()):
        return []
    kept = packed.kept.get(task)
    if kept is not None and (missing := until(kept.worker, needs)):
        return [f"it waits on worker {kept.worker.name}, kept for it, until {missing}"]
    worker = min(roomy, key=lambda worker: sum(short.lack for short in Offer(worker).shortfalls(needs)))
    if missing := until(worker, needs):
        return [f"it waits until {missing}, on worker {worker.name} or another"]
    offer = packed.offers[worker.number]
    if offer.kept:
        return [f"worker {worker.name} is kept for task {offer.kept}, which comes before it"]
    return [f"worker {worker.name} has a task that waits for others there, and begins before it"]


def _names(workers: list[WorkerState]) -> str:
    return ", ".join(worker.name for worker in workers[:5])


def _no_worker(batch: BatchState, serving: list[WorkerState]) -> str:
    if serving:
        return f"the workers of batch {batch.name} are offline: {_names(serving)}"
    return (
        f"no worker serves batch {batch.name}: `scitq node --batch {batch.name}` on a machine,"
        f" or `scitq manage worker update NAME -b {batch.name}`"
    )


def _ahead(batch: BatchState, task: int, lane: Lane) -> int:
    """How many go before it to a worker that takes it: all of a higher priority, and of its own who came first."""
    ahead = 0
    for other, queue in batch.queues.items():
        if other.priority > lane.priority:
            ahead += len(queue)
        elif other.priority == lane.priority:
            ahead += queue.below(task)
    return ahead
