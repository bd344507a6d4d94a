"""What an attempt's answers and ends mean for its task: shared by reports, joins and losses."""

from scitq import wire
from scitq.broker import events
from scitq.broker.commands import Decision
from scitq.broker.events import CLASSES, RESULTS, Log, Result
from scitq.broker.intervals import runs_of
from scitq.broker.state import State
from scitq.broker.tasks import Held, Live, LogEnd, Returning
from scitq.model import LOST_BUDGET, Outcome, Stream
from scitq.wire import Ref

RETRIED = frozenset({"exit", "signal", "oom", "timeout", "download", "image"})


def is_current(live: Live, ref: Ref, worker: int) -> bool:
    """Whether the task's present hold is this attempt on this worker."""
    held = live.held
    return held is not None and (held.worker, held.attempt, held.epoch) == (worker, ref.attempt, ref.epoch)


def may_return(live: Live, ref: Ref, worker: int) -> bool:
    """Whether this attempt was let go unanswered and may be current again."""
    # Not what ran another specification than the present one, nor what a later attempt followed to its end.
    if ref.attempt <= live.barred or any(past.attempt > ref.attempt for past in live.past):
        return False
    let_go = live.let_go
    if let_go is not None and (let_go.worker, let_go.attempt, let_go.epoch) == (worker, ref.attempt, ref.epoch):
        return True
    lost = CLASSES.index("lost")
    return any(
        (past.attempt, past.epoch, past.worker, past.class_) == (ref.attempt, ref.epoch, worker, lost)
        for past in live.past
    )


def standby_of(live: Live) -> events.Standby | None:
    """The earlier attempt that waits for the answer of a later one's worker."""
    return live.place.standby if isinstance(live.place, Returning) else None


def answer_returned(state: State, live: Live, decision: Decision) -> None:
    """It had not started and never will under this number: do what it was asked back for."""
    place = live.place
    task = live.id
    if not isinstance(place, Returning):
        decision.fact(events.Requeued((task,)))
        if isinstance(place, Held) and place.halted:
            decision.fact(events.Cancelled(runs_of([task]), "cancelled before it started"))
        return
    decision.fact(events.Returned((task,)))
    back = place.standby
    if place.intent == "cancel":
        decision.fact(events.Cancelled(runs_of([task]), "cancelled before it started"))
    elif place.intent == "edit" and place.changes is not None:
        decision.fact(events.Edited(runs_of([task]), place.changes))
    elif back is not None and _is_here(state, back.worker):
        reinstate(state, live, back, decision)


def _is_here(state: State, worker: int) -> bool:
    known = state.workers.get(worker)
    return known is not None and known.status != "lost"


def reinstate(state: State, live: Live, back: events.Standby, decision: Decision) -> None:
    """An earlier attempt is current again: it may upload, unless its batch was stopped meanwhile."""
    decision.fact(events.Reinstated(live.id, back.attempt, back.epoch, back.worker, back.phase))
    ref = Ref(live.id, back.attempt, back.epoch)
    decision.send(back.worker, wire.Confirmed(tasks=(ref,)))
    _obey_stop(state, live, back.worker, ref, decision)


def answer_kept(state: State, live: Live, at: float, decision: Decision) -> None:
    """It had started: it goes on, unless a user wanted it ended; an earlier attempt in standby is stopped."""
    place = live.place
    if not isinstance(place, Returning):
        return
    task, held = live.id, place.held
    ref = Ref(task, held.attempt, held.epoch)
    decision.fact(events.Kept((task,)))
    if held.status in ("assigned", "staging"):
        decision.fact(events.Entered("running", (task,), (held.started_at or at,)))
    if place.intent == "cancel":
        decision.fact(events.HaltAsked((task,)))
        decision.send(held.worker, wire.Halt(tasks=(ref,)))
    else:
        _obey_stop(state, live, held.worker, ref, decision)
    if place.standby is not None:
        back = place.standby
        decision.send(back.worker, wire.Halt(tasks=(Ref(task, back.attempt, back.epoch),)))


def _obey_stop(state: State, live: Live, worker: int, ref: Ref, decision: Decision) -> None:
    """What turned out to run while its batch was being stopped shares the lot of the running."""
    how = state.batches[live.batch].stopped
    if how == "suspend":
        decision.send(worker, wire.Suspend(tasks=(ref,)))
    elif how in ("terminate", "kill"):
        decision.fact(events.HaltAsked((live.id,)))
        decision.send(worker, wire.Halt(tasks=(ref,), terminate=how == "terminate"))


def again_after_loss(live: Live) -> bool:
    """Whether the budget of losses allows another attempt."""
    return live.losses < LOST_BUDGET


def lost_result(live: Live, held: Held, now: float, reason: str) -> events.Ended:
    """The end of a started attempt whose worker vanished."""
    again = again_after_loss(live) and not held.halted
    if not again and not held.halted:
        reason += f" (the {live.losses + 1}th loss: no further attempt)"
    result = Result(
        attempt=held.attempt,
        epoch=held.epoch,
        worker=held.worker,
        status=RESULTS.index("cancelled" if held.halted else "failed"),
        class_=CLASSES.index("lost"),
        exit_code=None,
        signal=None,
        reason=reason,
        assigned_at=held.assigned_at,
        started_ms=None if held.started_at is None else _ms(held.started_at - held.assigned_at),
        ended_ms=_ms(now - held.assigned_at),
        stdout=_rest(live.logs.get(0), None),
        stderr=_rest(live.logs.get(1), None),
    )
    return events.Ended(live.id, result, again)


def ended(state: State, live: Live, held: Held, end: wire.End, logs: dict[int, LogEnd]) -> events.Ended:
    """The end that its worker reports; `logs` is what is kept of its output by now."""
    outcome = end.outcome
    unwanted = held.halted or (isinstance(live.place, Returning) and live.place.intent == "cancel")
    again = False
    if outcome.status == "failed" and not unwanted:
        if outcome.class_ == "lost":
            again = again_after_loss(live)
        elif outcome.class_ in RETRIED:
            again = live.failures < state.tasks.spec(live.id).retry
    return events.Ended(live.id, _result(held, end, outcome, logs), again)


def set_aside(worker: int, end: wire.End) -> events.SetAside:
    """The end of an attempt that a repair or restore made the state forget."""
    ref = end.ref
    held = Held(worker, ref.attempt, ref.epoch, "running", end.started_at or end.ended_at)
    return events.SetAside(ref.task, _result(held, end, end.outcome, {}))


def _result(held: Held, end: wire.End, outcome: Outcome, logs: dict[int, LogEnd]) -> Result:
    return Result(
        attempt=held.attempt,
        epoch=held.epoch,
        worker=held.worker,
        status=RESULTS.index(outcome.status),
        class_=CLASSES.index(outcome.class_),
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        reason=outcome.reason,
        assigned_at=held.assigned_at,
        started_ms=None if end.started_at is None else _ms(end.started_at - held.assigned_at),
        ended_ms=_ms(end.ended_at - held.assigned_at),
        staging_ms=_ms(outcome.staging_seconds),
        run_ms=_ms(outcome.run_seconds),
        upload_ms=_ms(outcome.upload_seconds),
        suspended_ms=_ms(outcome.suspended_seconds),
        cpu_ms=_ms(outcome.cpu_seconds),
        peak_kib=outcome.peak_memory // 1024,
        bytes_in=outcome.bytes_in,
        bytes_out=outcome.bytes_out,
        versions=outcome.versions,
        stored=outcome.stored,
        stdout=_rest(logs.get(0), outcome.stdout),
        stderr=_rest(logs.get(1), outcome.stderr),
        read_kib=outcome.read_bytes // 1024,
        written_kib=outcome.written_bytes // 1024,
        disk_kib=outcome.peak_disk // 1024,
    )


def _rest(log: LogEnd | None, stream: Stream | None) -> Log | None:
    """How a stream rests: what was written, by its worker's word, and what is kept, by ours."""
    if log is None and (stream is None or not stream.total):
        return None
    log = log or LogEnd()
    total = max(stream.total, log.next) if stream is not None else log.next
    head = log.head if log.head >= 0 else log.next
    tail = log.tail if log.head >= 0 else total
    note = log.refused or (stream.note if stream is not None else "")
    return Log(total, head, tail, note, None if log.pointer < 0 else log.pointer)


def _ms(seconds: float) -> int:
    return round(seconds * 1000) if seconds > 0 else 0
