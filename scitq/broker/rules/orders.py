"""What users order of tasks: cancel, relaunch, update, delete. Stop, edit and take back ask the worker first."""

from collections.abc import Callable, Iterator

import msgspec

from scitq import wire
from scitq.broker import events
from scitq.broker.commands import Decision, Peer, Wait
from scitq.broker.intervals import runs_of
from scitq.broker.rules.attempts import standby_of
from scitq.broker.rules.submit import check_batch_name, check_spec
from scitq.broker.state import State
from scitq.broker.tasks import Held, Live, Returning
from scitq.errors import NotFound, UsageError
from scitq.model import ENDED, Changes
from scitq.wire import Recall, Ref, Skipped

SKIPPED_LIMIT = 1_000


def selected(state: State, select: wire.Select) -> Iterator[int]:
    """The tasks of a selection, in order; NotFound for an id or batch that is not there."""
    if select.ids is None and select.batch is None and select.status is None and select.name is None:
        raise UsageError("say which tasks: ids, a batch, a status or a name")
    if select.batch is not None and select.batch not in state.batches:
        raise NotFound(f"there is no batch {select.batch}")
    for task in select.ids or ():
        if task not in state.tasks:
            raise NotFound(f"there is no task {task}")
    tasks = sorted(set(select.ids)) if select.ids is not None else state.tasks.ids()
    return (task for task in tasks if matches(state, task, select))


def matches(state: State, task: int, select: wire.Select) -> bool:
    """Whether an existing task meets all conditions besides its id."""
    if select.status is not None and state.status_of(task) not in select.status:
        return False
    if select.batch is not None and state.batch_of(task) != select.batch:
        return False
    return select.name is None or state.tasks.spec(task).name == select.name


class _Outcome:
    """What an order did, task by task."""

    def __init__(self) -> None:
        self.now: list[int] = []
        self.asked: list[int] = []
        self.halted: list[int] = []
        self.skipped: list[Skipped] = []

    def skip(self, task: int, reason: str) -> None:
        if len(self.skipped) < SKIPPED_LIMIT:
            self.skipped.append(Skipped(task, reason))

    @property
    def count(self) -> int:
        return len(self.now) + len(self.asked) + len(self.halted)


def cancel(state: State, peer: Peer, message: wire.Cancel, decision: Decision) -> None:
    """End tasks: queued ones at once, unstarted ones when their worker gave them back, running ones by a kill."""
    outcome = _Outcome()
    for task in selected(state, message.select):
        status = state.status_of(task)
        if status in ENDED:
            if message.select.ids is not None:
                outcome.skip(task, f"has already {status}" if status != "cancelled" else "is already cancelled")
        elif status in ("pending", "waiting"):
            outcome.now.append(task)
        elif status in ("running", "uploading"):
            outcome.halted.append(task)
        else:
            outcome.asked.append(task)
    if outcome.now:
        decision.fact(events.Cancelled(runs_of(outcome.now), f"cancelled by {peer.name}"))
    ask_back(state, outcome.asked, "cancel", None, decision)
    halt(state, outcome.halted, decision, terminate=False)
    decision.send(peer.route, wire.Done(id=message.id, count=outcome.count, skipped=tuple(outcome.skipped)))


def relaunch(state: State, peer: Peer, message: wire.Relaunch, decision: Decision) -> None:
    """Queue ended tasks again; a selection without ids or status means those that did not succeed."""
    if message.request and message.request in state.relaunches:
        decision.send(peer.route, wire.Done(id=message.id, count=state.relaunches[message.request]))
        return
    outcome = _Outcome()
    by_hand = message.select.ids is not None or message.select.status is not None
    for task in selected(state, message.select):
        status = state.status_of(task)
        if status in ENDED:
            if by_hand or status != "succeeded":
                outcome.now.append(task)
        elif message.select.ids is not None:
            queued = status in ("pending", "waiting", "assigned", "returning")
            outcome.skip(task, "is already in queue" if queued else f"is {status}: cancel it first")
    _check_changes(state, outcome.now, message.changes)
    if outcome.now:
        decision.fact(events.Relaunched(runs_of(outcome.now), message.changes, message.request))
    decision.send(peer.route, wire.Done(id=message.id, count=outcome.count, skipped=tuple(outcome.skipped)))


def update(state: State, peer: Peer, message: wire.Update, decision: Decision) -> None:
    """Change tasks that have not started; those at a worker are asked back first."""
    if message.changes == Changes():
        raise UsageError("say what to change")
    outcome = _Outcome()
    for task in selected(state, message.select):
        status = state.status_of(task)
        if status in ("pending", "waiting"):
            outcome.now.append(task)
        elif status in ("assigned", "staging") or _intent(state, task) == "requeue":
            outcome.asked.append(task)
        elif status == "returning":
            why = {"cancel": "is being cancelled", "edit": "is being changed already: ask again when that is done"}
            outcome.skip(task, why.get(_intent(state, task), "has started"))
        elif message.select.ids is not None or status not in ENDED:
            outcome.skip(task, "has ended: relaunch it with changes" if status in ENDED else "has started")
    _check_changes(state, outcome.now + outcome.asked, message.changes)
    if outcome.now:
        decision.fact(events.Edited(runs_of(outcome.now), message.changes))
    ask_back(state, outcome.asked, "edit", message.changes, decision)
    decision.waits.append(
        Wait(peer.route, message.id, tuple(outcome.asked), outcome.count, tuple(outcome.skipped), edit=True)
    )


def delete(state: State, peer: Peer, message: wire.Delete, decision: Decision) -> None:
    """Forget tasks that no worker holds; one that others wait for only with `force`."""
    outcome = _Outcome()
    chosen = list(selected(state, message.select))
    sort_out_deletable(state, chosen, outcome.now.append, outcome.skip, force=message.force)
    if outcome.now:
        decision.fact(events.Deleted(runs_of(outcome.now)))
    decision.send(peer.route, wire.Done(id=message.id, count=outcome.count, skipped=tuple(outcome.skipped)))


def sort_out_deletable(
    state: State,
    tasks: list[int],
    take: Callable[[int], None],
    skip: Callable[[int, str], None],
    *,
    force: bool,
) -> None:
    """Hand each task to `take`, or to `skip` with the reason why it must stay."""
    gone = set(tasks)
    for task in tasks:
        status = state.status_of(task)
        others = state.children.get(task, set()) - gone
        if status not in ENDED and status not in ("pending", "waiting"):
            skip(task, f"is {status}: cancel it first")
        elif others and not force:
            waiting = f"task {min(others)}" + (f" and {len(others) - 1} more" if len(others) > 1 else "")
            skip(task, f"is waited for by {waiting}: --force deletes it all the same")
        else:
            take(task)


def _check_changes(state: State, tasks: list[int], changes: Changes) -> None:
    if changes == Changes() or not tasks:
        return
    fields = {name: value for name in changes.__struct_fields__
              if (value := getattr(changes, name)) is not msgspec.UNSET}  # fmt: skip
    if "batch" in fields:
        check_batch_name(fields["batch"])
    # What the task requires existed when it was submitted; its deletion since then is no fault of the changes.
    check_spec(state, msgspec.structs.replace(state.tasks.spec(tasks[0]), **{"requires": (), **fields}))
    for parent in fields.get("requires", ()):
        if parent >= min(tasks):
            raise UsageError(f"task {min(tasks)} can only require tasks that were queued before it, not {parent}")


def ask_back(state: State, tasks: list[int], intent: str, changes: Changes | None, decision: Decision) -> None:
    """Ask the workers for tasks that may not have started; nothing else happens to them until the answer."""
    if not tasks:
        return
    decision.fact(events.Asked(tuple(tasks), intent, changes))
    recalls: dict[int, list[Ref]] = {}
    for task in tasks:
        held = held_of(state, task)
        recalls.setdefault(held.worker, []).append(Ref(task, held.attempt, held.epoch))
        back = standby_of(state.tasks.touch(task))
        if back is not None:
            decision.send(back.worker, wire.Halt(tasks=(Ref(task, back.attempt, back.epoch),)))
    for worker, refs in recalls.items():
        decision.send(worker, Recall(tasks=tuple(refs)))


def _intent(state: State, task: int) -> str:
    slot = state.tasks.slot(task)
    return slot.place.intent if type(slot) is Live and isinstance(slot.place, Returning) else ""


def halt(state: State, tasks: list[int], decision: Decision, *, terminate: bool) -> None:
    """Have running tasks ended by their workers."""
    if not tasks:
        return
    decision.fact(events.HaltAsked(tuple(tasks)))
    orders: dict[int, list[Ref]] = {}
    for task in tasks:
        held = held_of(state, task)
        orders.setdefault(held.worker, []).append(Ref(task, held.attempt, held.epoch))
    for worker, refs in orders.items():
        decision.send(worker, wire.Halt(tasks=tuple(refs), terminate=terminate))


def held_of(state: State, task: int) -> Held:
    """The hold on a task that some worker has."""
    slot = state.tasks.slot(task)
    held = slot.held if type(slot) is Live else None
    assert held is not None, f"task {task} is with no worker"
    return held
