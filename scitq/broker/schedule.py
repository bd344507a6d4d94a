"""Which waiting task goes to which worker: pure, (state) -> placements.

Inside a batch: higher priority first, then the lower id (FIFO). Over the workers: free slots before room ahead, the
emptier worker before the fuller, so that tasks spread. When nothing waits and a slot is free, what lies unstarted
beyond another worker's slots is asked back, last handed over first, unless that worker will begin it at once.
"""

import heapq
from collections.abc import Iterator

from scitq.broker.state import WINDOW_SECONDS, BatchState, State, WorkerState
from scitq.broker.tasks import Held
from scitq.model import EVERY_BATCH

MOST = 2_000  # placements of one round: the rest is for the next, after other peers were served


def place(state: State, slow: frozenset[int] = frozenset()) -> dict[int, list[int]]:
    """Tasks for each worker number, in the order of handing over; none for those that are `slow` to read."""
    if not state.roomy:
        return {}
    waiting = {
        name: _Head(batch) for name, batch in state.batches.items() if not batch.stopped and batch.counts["pending"]
    }
    if not waiting:
        return {}
    heap = [_rank(worker, 0) for worker in state.roomy.values() if worker.number not in slow]
    heapq.heapify(heap)
    placed: dict[int, list[int]] = {}
    for _ in range(MOST):
        if not heap:
            break
        worker = state.workers[heap[0][2]]
        head = _best(waiting, worker)
        if head is None:
            heapq.heappop(heap)
            continue
        tasks = placed.setdefault(worker.number, [])
        tasks.append(head.take())
        if worker.room - len(tasks) > 0:
            heapq.heapreplace(heap, _rank(worker, len(tasks)))
        else:
            heapq.heappop(heap)
    return placed


def take_back(state: State, placed: dict[int, list[int]], slow: frozenset[int] = frozenset()) -> dict[int, list[int]]:
    """Unstarted tasks to be asked back from each worker number, for slots that are free elsewhere."""
    if not state.crowded:
        return {}
    asked: dict[int, list[int]] = {}
    # What was asked back before will take free slots first: never ask twice for one slot.
    on_their_way = sum(
        live.place.status == "returning" for donor in state.crowded.values() for live in donor.held.values()
    )
    for worker in state.roomy.values():
        free = worker.concurrency - len(worker.held) - on_their_way
        if free <= 0 or worker.number in placed or worker.number in slow:
            on_their_way -= min(on_their_way, max(worker.concurrency - len(worker.held), 0))
            continue
        for donor in state.crowded.values():
            if free <= 0:
                break
            if donor is worker or donor.number in asked or _soon(donor):
                continue
            tasks = _spare(donor, worker, free)
            if tasks:
                asked[donor.number] = tasks
                free -= len(tasks)
    return asked


class _Head:
    """The waiting tasks of a batch, taken from the front."""

    __slots__ = ("_rest", "key")

    def __init__(self, batch: BatchState) -> None:
        self._rest = self._all(batch)
        self.key: tuple[int, int] | None = next(self._rest, None)

    @staticmethod
    def _all(batch: BatchState) -> Iterator[tuple[int, int]]:
        for priority in reversed(batch.priorities):
            for task in batch.queues[priority]:
                yield (-priority, task)

    def take(self) -> int:
        """The first waiting task."""
        assert self.key is not None
        task = self.key[1]
        self.key = next(self._rest, None)
        return task


def _best(waiting: dict[str, _Head], worker: WorkerState) -> _Head | None:
    if worker.batch != EVERY_BATCH:
        head = waiting.get(worker.batch)
        return head if head is not None and head.key is not None else None
    heads = [head for head in waiting.values() if head.key is not None]
    return min(heads, key=lambda head: head.key or (0, 0)) if heads else None


def _rank(worker: WorkerState, more: int) -> tuple[bool, float, int]:
    held = len(worker.held) + more
    return held >= worker.concurrency, held / worker.concurrency, worker.number


def _soon(donor: WorkerState) -> bool:
    extra = len(donor.held) - donor.concurrency
    return donor.run_seconds is not None and extra * donor.run_seconds < WINDOW_SECONDS * donor.concurrency


def _spare(donor: WorkerState, worker: WorkerState, free: int) -> list[int]:
    extra = min(len(donor.held) - donor.concurrency, free)
    tasks: list[int] = []
    for task in reversed(donor.held):
        if len(tasks) >= extra:
            break
        live = donor.held[task]
        if (
            isinstance(live.place, Held)
            and live.place.status in ("assigned", "staging")
            and worker.serves(live.batch)
        ):
            tasks.append(task)
    return tasks
