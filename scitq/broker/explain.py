"""Why a task or a batch does nothing: pure, in lines for people, the most telling first."""

from scitq.broker.rules.reads import waiting_reason, worker_name
from scitq.broker.state import BatchState, State, WorkerState
from scitq.broker.tasks import Held, Lane, Live, Returning, unpack_end
from scitq.errors import NotFound


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
    lines += _why_idle(state, batch, lane)
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
    lanes = [lane for lane, queue in batch.queues.items() if queue]
    for lane in lanes or [Lane(0, container=False)] * bool(batch.unended):
        lines += [line for line in _why_idle(state, batch, lane) if line not in lines]
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
    if not worker.takes(live.lane):
        started = live.place.status not in ("assigned", "staging")
        what = "the task goes on when it does" if started else "unless it does soon, the task is given to another"
        lines.append(f"the worker's container engine does not answer now: {what}")
    if worker.status == "offline":
        lines.append("if the worker stays away past the grace, the task is given to another")
    return lines


def _why_idle(state: State, batch: BatchState, lane: Lane) -> list[str]:
    if batch.stopped:
        return [f"batch {batch.name} is stopped: `scitq manage batch go -n {batch.name}`"]
    serving = list(state.serving(batch.name))
    online = [worker for worker in serving if worker.status == "online"]
    if not online:
        return [_no_worker(batch, serving)]
    awake = [worker for worker in online if not worker.paused]
    if not awake:
        names = ", ".join(worker.name for worker in online[:5])
        return [f"all workers of the batch are paused: {names} (`scitq manage worker resume NAME`)"]
    able = [worker for worker in awake if worker.takes(lane)]
    if not able:
        names = ", ".join(worker.name for worker in awake[:5])
        return [
            f"no worker of batch {batch.name} has a container engine that answers: {names} (install docker there)"
        ]
    if all(worker.room <= 0 for worker in able):
        slots = sum(worker.concurrency for worker in able)
        with_engine = " with a container engine" if len(able) < len(awake) else ""
        return [f"all {slots} slots of the {len(able)} workers of batch {batch.name}{with_engine} are taken"]
    return []


def _no_worker(batch: BatchState, serving: list[WorkerState]) -> str:
    if serving:
        names = ", ".join(worker.name for worker in serving[:5])
        return f"the workers of batch {batch.name} are offline: {names}"
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
