"""Facts of attempts: handed over, asked back, in a phase, ended; and of their output."""

from scitq.broker import events
from scitq.broker.events import Result
from scitq.broker.facts.moving import end, hold, hold_of, live_task, move, recount, release
from scitq.broker.moves import IllegalMove, check_move
from scitq.broker.state import State, WorkerState
from scitq.broker.tasks import PENDING, Held, LogEnd, Returning

MEAN_WEIGHT = 0.2


def assigned(state: State, event: events.Assigned, at: float) -> None:
    worker = state.workers[event.worker]
    for task in event.tasks:
        live = live_task(state, task)
        move(state, live, Held(worker.number, live.attempt + 1, state.epoch, "assigned", at))
        live.attempt += 1
        hold(worker, live)
    recount(state, worker)


def asked(state: State, event: events.Asked, at: float) -> None:
    for task in event.tasks:
        live = live_task(state, task)
        place = live.place
        if isinstance(place, Returning):  # asked again: the later intent counts
            live.place = place._replace(intent=event.intent, changes=event.changes, standby=event.standby)
            continue
        check_move(task, place.status, "returning", live)
        assert isinstance(place, Held)
        move(state, live, Returning(place, event.intent, event.changes, event.standby))


def queued_again(state: State, event: events.Returned | events.Requeued, at: float) -> None:
    for task in event.tasks:
        live = live_task(state, task)
        held = hold_of(live)
        check_move(task, live.place.status, "pending", live)
        release(state, live)
        if type(event) is events.Requeued:
            live.let_go = held._replace(started_at=None, halted=False)
        state.released += [log.pointer for log in live.logs.values() if log.pointer >= 0]
        live.logs = {}
        move(state, live, PENDING)


def kept(state: State, event: events.Kept, at: float) -> None:
    for task in event.tasks:
        live = live_task(state, task)
        move(state, live, hold_of(live))


def entered(state: State, event: events.Entered, at: float) -> None:
    phase = event.phase
    for task, when in zip(event.tasks, event.times, strict=True):
        live = live_task(state, task)
        held = hold_of(live)
        started = when if phase == "running" else held.started_at
        now = Held(held.worker, held.attempt, held.epoch, phase, held.assigned_at, started, held.halted)
        if phase == "staging" and isinstance(live.place, Returning):
            live.place = live.place._replace(held=now)
        else:
            move(state, live, now)
            if phase == "uploading" and (worker := state.workers.get(held.worker)) is not None:
                hold(worker, live)
                state.uncounted[worker.number] = worker


def halt_asked(state: State, event: events.HaltAsked, at: float) -> None:
    for task in event.tasks:
        live = live_task(state, task)
        if not isinstance(live.place, Held):
            raise IllegalMove(f"task {task} cannot be halted: {live}")
        live.place = live.place._replace(halted=True)


def ended(state: State, event: events.Ended, at: float) -> None:
    live, result = live_task(state, event.task), event.result
    status = events.RESULTS[result.status]
    check_move(live.id, live.place.status, "pending" if event.again else status, live)
    worker = release(state, live)
    if worker is not None:
        _measure(worker, status, result)
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


def reinstated(state: State, event: events.Reinstated, at: float) -> None:
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
    hold(worker, live)
    recount(state, worker)


def log_kept(state: State, event: events.LogKept, at: float) -> None:
    for task, stream, following, pointer, tail in event.marks:
        live = live_task(state, task)
        live.logs[stream] = live.logs.get(stream, LogEnd()).kept(following, pointer, tail)


def log_refused(state: State, event: events.LogRefused, at: float) -> None:
    live = live_task(state, event.task)
    live.logs[event.stream] = live.logs.get(event.stream, LogEnd())._replace(refused=event.note)


def set_aside(state: State, event: events.SetAside, at: float) -> None:
    state.set_aside.append(event)
