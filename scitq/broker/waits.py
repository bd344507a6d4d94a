"""Answers that wait for workers: stop, edit and take back are answered when nothing is on its way back any more."""

from scitq import wire
from scitq.broker.commands import Send, Wait
from scitq.broker.rules.orders import SKIPPED_LIMIT
from scitq.broker.rules.reads import worker_name
from scitq.broker.state import State
from scitq.broker.tasks import Live, Returning
from scitq.wire import Skipped

PATIENCE = 10.0  # seconds until those that have not answered are named


class Waits:
    """The open answers; volatile: after a restart their clients ask again."""

    def __init__(self) -> None:
        self._open: list[tuple[Wait, float]] = []

    def __len__(self) -> int:
        return len(self._open)

    def add(self, wait: Wait, monotonic: float) -> None:
        """Keep an answer back."""
        self._open.append((wait, monotonic + PATIENCE))

    def settle(self, state: State, monotonic: float) -> list[Send]:
        """The answers that need not wait any longer."""
        sends: list[Send] = []
        still: list[tuple[Wait, float]] = []
        for wait, deadline in self._open:
            returning = [task for task in wait.tasks if _returning(state, task)]
            missing = {number for task in returning if (number := _worker(state, task)) is not None}
            answering = [number for number in missing if state.workers[number].status == "online"]
            if answering and monotonic < deadline:
                still.append((wait, deadline))
                continue
            sends.append(Send(wait.peer, self._answer(state, wait, returning, missing)))
        self._open = still
        return sends

    def _answer(self, state: State, wait: Wait, returning: list[int], missing: set[int]) -> wire.Done:
        skipped = list(wait.skipped)
        count = wait.touched
        if wait.edit:
            late = [Skipped(task, "its worker has not answered yet") for task in returning]
            late += [Skipped(task, why) for task in wait.tasks if (why := _escaped(state, task))]
            count -= len(late)
            skipped = (skipped + late)[:SKIPPED_LIMIT]
        names = tuple(sorted(worker_name(state, number) for number in missing))
        return wire.Done(id=wait.id, count=count, skipped=tuple(skipped), missing=names)


def _returning(state: State, task: int) -> bool:
    slot = state.tasks.slot(task)
    return type(slot) is Live and isinstance(slot.place, Returning)


def _escaped(state: State, task: int) -> str:
    """Why a change did not reach the task; "" when it did."""
    if task not in state.tasks:
        return "was deleted"
    status = state.status_of(task)
    if status == "cancelled":
        return "was cancelled"
    return "has started" if status in ("running", "uploading", "succeeded", "failed") else ""


def _worker(state: State, task: int) -> int | None:
    slot = state.tasks.slot(task)
    held = slot.held if type(slot) is Live else None
    return None if held is None else held.worker
