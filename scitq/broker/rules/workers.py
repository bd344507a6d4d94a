"""Workers: joining and what becomes of what they hold, vanishing, being changed or deleted."""

from typing import Literal

from scitq import wire
from scitq.broker import events
from scitq.broker.commands import Decision, Peer, Send
from scitq.broker.rules.attempts import (
    answer_kept,
    answer_returned,
    is_current,
    lost_result,
    may_return,
    reinstate,
    standby_of,
)
from scitq.broker.rules.orders import ask_back
from scitq.broker.rules.submit import check_batch_name
from scitq.broker.state import State, WorkerState
from scitq.broker.tasks import Held, Live, Returning
from scitq.errors import Conflict, NotFound, Refused, UsageError
from scitq.model import DEFAULT_BATCH, EVERY_BATCH
from scitq.needs import fits
from scitq.wire import Ref, Verdict

CONCURRENCY_LIMIT = 4096

Do = Literal["keep", "stop", "forget"]


def join(
    state: State, peer: Peer, message: wire.Hello, now: float, beat: float, version: str, decision: Decision
) -> None:
    """Enrol a worker, and tell it for each attempt it holds: keep, stop or forget; what it lacks is lost."""
    enrol = message.enrol
    assert enrol is not None
    _check_enrolment(peer, enrol)
    number = state.worker_ids.get(enrol.worker, state.next_worker)
    known = state.workers.get(number)
    if known is not None:
        _check_name(peer, known.name)
    name = _free_name(state, enrol.name, number, decision)
    joined = events.WorkerJoined(
        worker=number,
        id=enrol.worker,
        name=name,
        batch=known.batch if known and (enrol.again or not enrol.batch) else enrol.batch or DEFAULT_BATCH,
        concurrency=known.concurrency if known and (enrol.again or not enrol.concurrency) else enrol.concurrency or 1,
        prefetch=known.prefetch if known and (enrol.again or enrol.prefetch < 0) else max(enrol.prefetch, 0),
        hostname=enrol.hostname,
        cpus=enrol.cpus,
        memory=enrol.memory,
        version=message.version,
        engine=enrol.engine,
        gpus=enrol.gpus,
        disk=enrol.disk,
    )
    decision.fact(joined)
    before = len(decision.sends)
    # What it holds of another mesh is none of ours, whatever its numbers.
    listed = enrol.held if enrol.mesh in ("", state.mesh) else ()
    verdicts = _verdicts(state, number, listed, now, decision)
    unable: list[int] = []
    if known is not None:
        refs = {held.ref for held in listed}
        _lose_unlisted(state, known, refs, now, decision)
        _forget_standbys(state, number, refs, decision)
        unable = _beyond_means(known, enrol, verdicts)
    # A worker hears nothing before its welcome.
    decision.sends.insert(
        before,
        Send(
            peer.route,
            wire.Welcome(
                id=message.id,
                protocol=wire.PROTOCOL,
                mesh=state.mesh,
                epoch=state.epoch,
                version=version,
                role=peer.role,  # type: ignore[arg-type]
                worker=name,
                concurrency=joined.concurrency,
                prefetch=joined.prefetch,
                beat_seconds=beat,
                verdicts=tuple(verdicts),
                suspended=_suspended(state, verdicts),
            ),
        ),
    )
    ask_back(state, unable, "requeue", None, decision)
    halted = tuple(v.ref for v in verdicts if v.do == "keep" and _is_halted(state, v.ref))
    if halted:
        decision.send(peer.route, wire.Halt(tasks=halted))


def _check_enrolment(peer: Peer, enrol: wire.Enrolment) -> None:
    if not enrol.worker or not enrol.name or not enrol.name.isprintable() or "/" in enrol.name:
        raise UsageError(f"{enrol.name!r} is no name for a worker: printable characters without /")
    _check_name(peer, enrol.name)
    if not 0 <= enrol.concurrency <= CONCURRENCY_LIMIT:
        raise UsageError(f"concurrency is {enrol.concurrency}: give 1 to {CONCURRENCY_LIMIT}")
    if enrol.prefetch > CONCURRENCY_LIMIT:
        raise UsageError(f"prefetch is {enrol.prefetch}: give 0 to {CONCURRENCY_LIMIT}")
    if enrol.batch and enrol.batch != EVERY_BATCH:
        check_batch_name(enrol.batch)


def _check_name(peer: Peer, name: str) -> None:
    if peer.role == "worker" and not (name == peer.name or name.startswith(peer.name + "-")):
        raise Refused(f"the key of {peer.name} allows workers named {peer.name} or {peer.name}-…, not {name}")


def _free_name(state: State, wanted: str, number: int, decision: Decision) -> str:
    """The wanted name, unless another worker that may be alive has it; an idle lost one gives way."""
    name, suffix = wanted, 1
    while True:
        other = next((w for w in state.workers.values() if w.name == name and w.number != number), None)
        if other is None:
            return name
        if other.status == "lost" and not other.held:
            decision.fact(events.WorkerDeleted(other.number))
            return name
        suffix += 1
        name = f"{wanted}-{suffix}"


def _verdicts(
    state: State, worker: int, listed: tuple[wire.Held, ...], now: float, decision: Decision
) -> list[Verdict]:
    """What is current is judged first; of a task that was moved by one verdict no other attempt is kept."""
    moved: set[int] = set()
    judged: dict[Ref, Do] = {}
    for held in sorted(listed, key=lambda held: not _is_held(state, held.ref, worker)):
        if held.ref not in judged:
            judged[held.ref] = _verdict(state, worker, held, moved, now, decision)
    return [Verdict(held.ref, judged[held.ref]) for held in listed]


def _is_held(state: State, ref: Ref, worker: int) -> bool:
    slot = state.tasks.slot(ref.task) if ref.task in state.tasks else None
    return type(slot) is Live and is_current(slot, ref, worker)


def _verdict(state: State, worker: int, held: wire.Held, moved: set[int], now: float, decision: Decision) -> Do:
    ref, staged = held.ref, held.phase == "staged"
    drop: Do = "stop" if held.phase in ("running", "uploading") else "forget"
    slot = state.tasks.slot(ref.task) if ref.task in state.tasks else None
    if held.phase == "ended" and ref.epoch < state.epoch:
        return "keep"  # its end is heard: believed, known, or set aside
    if type(slot) is not Live:
        return drop
    if is_current(slot, ref, worker):
        moved.add(ref.task)
        return _verdict_of_current(state, slot, ref, staged, now, decision)
    if _is_standby(slot, ref, worker):
        return "keep"
    if staged or ref.task in moved or not may_return(slot, ref, worker):
        return drop
    phase = "uploading" if held.phase == "uploading" else "running"
    back = events.Standby(ref.attempt, ref.epoch, worker, phase)
    if slot.place.status == "pending":
        moved.add(ref.task)
        reinstate(state, slot, back, decision)
        return "keep"
    if isinstance(slot.place, Held) and slot.place.status in ("assigned", "staging"):
        moved.add(ref.task)
        later = Ref(ref.task, slot.place.attempt, slot.place.epoch)
        decision.fact(events.Asked((ref.task,), "reinstate", None, back))
        decision.send(slot.place.worker, wire.Recall(tasks=(later,)))
        return "keep"
    return drop


def _verdict_of_current(state: State, live: Live, ref: Ref, staged: bool, now: float, decision: Decision) -> Do:
    held = live.held
    assert held is not None
    if isinstance(live.place, Returning):
        if staged:
            answer_returned(state, live, decision)
            return "forget"
        answer_kept(state, live, now, decision)
    elif not staged and held.status in ("assigned", "staging"):
        decision.fact(events.Entered("running", (ref.task,), (now,)))
    return "keep"


def _is_standby(live: Live, ref: Ref, worker: int) -> bool:
    back = standby_of(live)
    return back is not None and (back.worker, back.attempt, back.epoch) == (worker, ref.attempt, ref.epoch)


def _forget_standbys(state: State, worker: int, listed: set[Ref], decision: Decision) -> None:
    """An earlier attempt that is not there any more will not be current again: the later one is simply queued."""
    for other in state.workers.values():
        for task, live in other.held.items():
            back = standby_of(live)
            if back is not None and back.worker == worker and Ref(task, back.attempt, back.epoch) not in listed:
                decision.fact(events.Asked((task,), "requeue"))


def _lose_unlisted(state: State, worker: WorkerState, listed: set[Ref], now: float, decision: Decision) -> None:
    unstarted = []
    for task, live in list(worker.held.items()):
        held = live.held
        assert held is not None
        if Ref(task, held.attempt, held.epoch) in listed:
            continue
        if held.status in ("assigned", "staging"):
            if isinstance(live.place, Returning):
                answer_returned(state, live, decision)
            else:
                unstarted.append(task)
        else:
            reason = f"worker {worker.name} does not hold it any more"
            decision.fact(lost_result(live, held, now, reason))
    if unstarted:
        decision.fact(events.Requeued(tuple(unstarted)))


def _beyond_means(worker: WorkerState, enrol: wire.Enrolment, verdicts: list[Verdict]) -> list[int]:
    """What it holds unstarted, and has not the means for any more: a GPU or some memory is gone."""
    kept = {verdict.ref for verdict in verdicts if verdict.do == "keep"}
    staged = {held.ref for held in enrol.held if held.phase == "staged"} & kept
    return [
        task
        for task, needs in worker.claims.items()
        if isinstance(place := worker.held[task].place, Held)
        and Ref(task, place.attempt, place.epoch) in staged
        and not fits(needs, enrol.cpus, enrol.memory, len(enrol.gpus), enrol.disk)
    ]


def _suspended(state: State, verdicts: list[Verdict]) -> tuple[Ref, ...]:
    return tuple(
        verdict.ref
        for verdict in verdicts
        if verdict.do == "keep"
        and verdict.ref.task in state.tasks
        and state.batches[state.batch_of(verdict.ref.task)].stopped == "suspend"
    )


def _is_halted(state: State, ref: Ref) -> bool:
    slot = state.tasks.slot(ref.task) if ref.task in state.tasks else None
    return type(slot) is Live and isinstance(slot.place, Held) and slot.place.halted


def leave(state: State, peer: Peer, decision: Decision) -> None:
    """A clean goodbye: what runs goes on there under its keepers, nothing new is handed over."""
    if peer.worker is not None:
        gone(state, peer.worker, decision)


def gone(state: State, number: int, decision: Decision) -> None:
    """Its connection ended without a word."""
    worker = state.workers.get(number)
    if worker is not None and worker.status == "online":
        decision.fact(events.WorkerOffline(number))


def silent(state: State, number: int, now: float, decision: Decision) -> None:
    """The grace is over: what had started is lost, the rest is queued again."""
    worker = state.workers.get(number)
    if worker is None or worker.status == "lost":
        return
    let_go(state, worker, now, f"worker {worker.name} was not heard of any more", decision)
    decision.fact(events.WorkerLost(number))


def let_go(state: State, worker: WorkerState, now: float, reason: str, decision: Decision) -> None:
    """End or requeue all that the worker holds; what had started counts as lost."""
    started = [live for live in worker.held.values() if live.place.status in ("running", "uploading")]
    _let_go_unstarted(state, worker, decision)
    for live in started:
        assert isinstance(live.place, Held)
        decision.fact(lost_result(live, live.place, now, reason))


def _let_go_unstarted(state: State, worker: WorkerState, decision: Decision) -> None:
    unstarted = []
    for task, live in worker.held.items():
        if isinstance(live.place, Returning):
            answer_returned(state, live, decision)
        elif live.place.status in ("assigned", "staging"):
            unstarted.append(task)
    if unstarted:
        decision.fact(events.Requeued(tuple(unstarted)))


def update(state: State, peer: Peer, message: wire.WorkerUpdate, decision: Decision) -> None:
    """Change a worker live; what it may not start any more is asked back."""
    worker = _known(state, message.worker)
    concurrency = worker.concurrency if message.concurrency is None else message.concurrency
    prefetch = worker.prefetch if message.prefetch is None else message.prefetch
    batch = worker.batch if message.batch is None else message.batch
    paused = worker.paused if message.paused is None else message.paused
    if not 1 <= concurrency <= CONCURRENCY_LIMIT:
        raise UsageError(f"concurrency is {concurrency}: give 1 to {CONCURRENCY_LIMIT}, or pause the worker")
    if not 0 <= prefetch <= CONCURRENCY_LIMIT:
        raise UsageError(f"prefetch is {prefetch}: give 0 to {CONCURRENCY_LIMIT}")
    if batch != EVERY_BATCH:
        check_batch_name(batch)
    decision.fact(events.WorkerChanged(worker.number, concurrency, prefetch, batch, paused))
    decision.send(worker.number, wire.Settings(concurrency=concurrency, prefetch=prefetch))
    unstarted = [
        task
        for task, live in worker.held.items()
        if isinstance(live.place, Held) and live.place.status in ("assigned", "staging")
    ]
    room = max(concurrency + prefetch - (worker.busy - len(unstarted)), 0)
    foreign = [t for t in unstarted if batch not in (EVERY_BATCH, worker.held[t].batch)]
    if paused:
        ask_back(state, unstarted, "requeue", None, decision)
    else:
        staying = [task for task in unstarted if task not in set(foreign)]
        ask_back(state, foreign + staying[room:], "requeue", None, decision)
    decision.send(peer.route, wire.Done(id=message.id, count=1))


def delete(state: State, peer: Peer, message: wire.WorkerDelete, now: float, decision: Decision) -> None:
    """Forget a worker; while it runs tasks only with `force`, and then they are queued again, uncounted."""
    worker = _known(state, message.worker)
    running = sum(live.place.status in ("running", "uploading") for live in worker.held.values())
    if running and not message.force:
        raise Conflict(f"worker {worker.name} runs {running} tasks: pause it and wait, or use --force")
    decision.send(worker.number, wire.Dismissed(reason=f"worker {worker.name} was deleted by {peer.name}"))
    _let_go_unstarted(state, worker, decision)
    for task, live in worker.held.items():
        if isinstance(live.place, Held) and live.place.status in ("running", "uploading"):
            if live.place.halted:
                decision.fact(lost_result(live, live.place, now, f"worker {worker.name} was deleted"))
            else:
                decision.fact(events.Requeued((task,)))
    decision.fact(events.WorkerDeleted(worker.number))
    decision.send(peer.route, wire.Done(id=message.id, count=1))


def _known(state: State, text: str) -> WorkerState:
    worker = state.worker_named(text)
    if worker is None:
        raise NotFound(f"there is no worker {text}")
    return worker
