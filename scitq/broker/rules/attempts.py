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


def lost_before(live: Live, ref: Ref, worker: int) -> bool:
    """Whether this attempt on this worker was thought lost."""
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
        return
    decision.fact(events.Returned((task,)))
    if place.intent == "cancel":
        decision.fact(events.Cancelled(runs_of([task]), "cancelled before it started"))
    elif place.intent == "edit" and place.changes is not None:
        decision.fact(events.Edited(runs_of([task]), place.changes))
    elif place.standby is not None:
        back = place.standby
        decision.fact(events.Reinstated(task, back.attempt, back.epoch, back.worker, back.phase))


def answer_kept(state: State, live: Live, decision: Decision) -> None:
    """It had started: it goes on, unless a user wanted it ended; an earlier attempt in standby is stopped."""
    place = live.place
    if not isinstance(place, Returning):
        return
    task, held = live.id, place.held
    decision.fact(events.Kept((task,)))
    if held.status in ("assigned", "staging"):
        decision.fact(events.Entered("running", (task,), (held.started_at or held.assigned_at,)))
    how = state.batches[live.batch].stopped
    if place.intent == "cancel" or (place.intent == "requeue" and how in ("terminate", "kill")):
        decision.fact(events.HaltAsked((task,)))
        ref = Ref(task, held.attempt, held.epoch)
        decision.send(held.worker, wire.Halt(tasks=(ref,), terminate=how == "terminate"))
    if place.standby is not None:
        back = place.standby
        decision.send(back.worker, wire.Halt(tasks=(Ref(task, back.attempt, back.epoch),)))


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
    failed = outcome.status == "failed"
    again = (
        failed and outcome.class_ in RETRIED and not held.halted and live.failures < state.tasks.spec(live.id).retry
    )
    if failed and outcome.class_ == "lost":
        again = again_after_loss(live) and not held.halted
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
    return max(round(seconds * 1000), 0)
