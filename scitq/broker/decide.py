"""`decide(state, command, now) -> Decision`: every change of the broker begins here; pure, (facts, messages) out.

`now` is wall time, for the record. The state is only read: `apply` carries the facts out afterwards.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Raw

from scitq import __version__, wire
from scitq.broker import events, schedule
from scitq.broker.commands import Ask, Command, Decision, DropParts, Gone, Peer, Reported, Schedule, Silent
from scitq.broker.explain import explain_batch, explain_task
from scitq.broker.rules import access, batches, orders, reads, reports, submit, workers
from scitq.broker.state import State
from scitq.errors import Refused, ScitqError, WrongVersion
from scitq.model import MIB

_USER = frozenset({"admin", "user"})
_ALL = frozenset({"admin", "user", "worker", "deployer"})
_ADMIN = frozenset({"admin"})
_OPERATOR = frozenset({"admin", "deployer"})

ASSIGN_BYTES = 2 * MIB  # of specifications handed over in one round, or one alone that is larger

Rule = Callable[[State, Peer, Any, float, Decision], None]


def decide(state: State, command: Command, now: float) -> Decision:
    """What a command changes and says; a user's mistake becomes an `error` answer, never an exception."""
    decision = Decision()
    match command:
        case Ask(peer, message):
            _ask(state, peer, message, now, decision)
        case Reported():
            reports.report(state, command, now, decision)
        case Schedule(slow):
            _schedule(state, slow, decision)
        case Silent(worker):
            workers.silent(state, worker, now, decision)
        case Gone(worker):
            workers.gone(state, worker, decision)
        case DropParts(before):
            for request, part in state.parts.items():
                if part.at < before:
                    decision.fact(events.PartsDropped(request))
    return decision


def _ask(state: State, peer: Peer, message: wire.Request, now: float, decision: Decision) -> None:
    roles, rule = _RULES[type(message)]
    try:
        if peer.role not in roles:
            raise Refused(f"{peer.name} has the role {peer.role}, which may not ask for `{_tag(message)}`")
        rule(state, peer, message, now, decision)
    except ScitqError as problem:
        # What a rule had collected before it found the mistake is dropped whole.
        decision.events.clear()
        decision.sends.clear()
        decision.waits.clear()
        answer = {"code": problem.code, "message": str(problem)}
        decision.send(peer.route, wire.Error(id=getattr(message, "id", None), error=answer))


def _tag(message: wire.Request) -> str:
    return str(message.__struct_config__.tag)


def _schedule(state: State, slow: frozenset[int], decision: Decision) -> None:
    placed = schedule.place(state, slow)
    given = 0
    for number, tasks in placed.items():
        assignments: list[wire.Assignment] = []
        for task in tasks:
            packed = state.tasks.packed(task)
            if given and given + len(packed) > ASSIGN_BYTES:
                break  # the rest is for the next round, when other peers were served
            given += len(packed)
            slot = state.tasks.slot(task)
            attempt = 1 + (slot.attempt if slot is not None and not isinstance(slot, bytes) else 0)
            assignments.append(wire.Assignment(wire.Ref(task, attempt, state.epoch), Raw(packed)))
        if assignments:
            decision.fact(events.Assigned(number, tuple(tasks[: len(assignments)])))
            decision.send(number, wire.Assign(tasks=tuple(assignments)))
    for tasks in schedule.take_back(state, placed, slow).values():
        orders.ask_back(state, tasks, "requeue", None, decision)


# ---------------------------------------------------------------------------- rules with another signature


def _hello(state: State, peer: Peer, message: wire.Hello, now: float, decision: Decision) -> None:
    if message.protocol != wire.PROTOCOL:
        raise WrongVersion(
            f"this broker speaks protocol {wire.PROTOCOL} (scitq {__version__}), you speak {message.protocol}"
            f"{f' (scitq {message.version})' if message.version else ''}: install the same release on both sides"
        )
    if message.enrol is None:
        welcome = wire.Welcome(
            id=message.id,
            protocol=wire.PROTOCOL,
            mesh=state.mesh,
            epoch=state.epoch,
            version=__version__,
            role=peer.role,  # type: ignore[arg-type]
        )
        decision.send(peer.route, welcome)
        return
    if peer.role not in ("worker", "admin"):
        raise Refused(f"{peer.name} has the role {peer.role}, which may not join as a worker")
    workers.join(state, peer, message, now, state.beat, __version__, decision)


def _explain(state: State, peer: Peer, message: wire.Explain, now: float, decision: Decision) -> None:
    reads.explain_target(message)
    if message.task is not None:
        lines = explain_task(state, message.task)
    else:
        lines = explain_batch(state, message.batch or "")
    decision.send(peer.route, wire.Explained(id=message.id, lines=tuple(lines)))


def _beat(state: State, peer: Peer, message: wire.Beat, now: float, decision: Decision) -> None:
    if peer.worker is not None and peer.worker in state.workers and state.workers[peer.worker].status == "online":
        decision.send(peer.route, wire.Ack())


def _plain(rule: Callable[[State, Peer, Any, Decision], None]) -> Rule:
    return lambda state, peer, message, now, decision: rule(state, peer, message, decision)


_RULES: dict[type, tuple[frozenset[str], Rule]] = {
    wire.Hello: (_ALL, _hello),
    wire.Submit: (_USER, _plain(submit.submit)),
    wire.Tasks: (_USER, _plain(reads.tasks)),
    wire.Attempts: (_USER, _plain(reads.attempts)),
    wire.Cancel: (_USER, _plain(orders.cancel)),
    wire.Relaunch: (_USER, _plain(orders.relaunch)),
    wire.Update: (_USER, _plain(orders.update)),
    wire.Delete: (_USER, _plain(orders.delete)),
    wire.Explain: (_USER, _explain),
    wire.Batches: (_USER, _plain(reads.batches)),
    wire.BatchStop: (_USER, _plain(batches.stop)),
    wire.BatchGo: (_USER, _plain(batches.go)),
    wire.BatchDelete: (_USER, _plain(batches.delete)),
    wire.Workers: (_USER | _OPERATOR, reads.workers),
    wire.WorkerUpdate: (_OPERATOR, _plain(workers.update)),
    wire.WorkerDelete: (_OPERATOR, workers.delete),
    wire.AccessCreate: (_ADMIN, _plain(access.create)),
    wire.AccessRevoke: (_ADMIN, _plain(access.revoke)),
    wire.Beat: (frozenset({"worker", "admin"}), _beat),
    wire.Bye: (frozenset({"worker", "admin"}), lambda s, p, m, now, d: workers.leave(s, p, d)),
}
