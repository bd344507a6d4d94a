"""Which waiting task goes to which worker: pure, (state) -> placements.

Inside a batch: higher priority first, then the lower id (FIFO); what a worker has not the means for is passed over.
Over the workers: free slots before room ahead, the emptier worker before the fuller, so that tasks spread. When
nothing waits and a slot is free, what lies unstarted beyond another worker's slots is asked back, last handed over
first, unless that worker will begin it at once.
"""

import heapq
from collections.abc import Iterator

from scitq.broker import packing
from scitq.broker.offers import Offer
from scitq.broker.state import WINDOW_SECONDS, BatchState, State, WorkerState
from scitq.broker.tasks import Held
from scitq.model import EVERY_BATCH

MOST = 2_000  # placements of one round: the rest is for the next, after other peers were served


def place(state: State, slow: frozenset[int] = frozenset()) -> dict[int, list[int]]:
    """Tasks for each worker number, in the order of handing over; none for those that are `slow` to read."""
    batches = [batch for batch in state.batches.values() if batch.lanes and not batch.stopped]
    if not batches or not state.roomy:
        return {}
    if packing.asked(state):
        return packing.pack(state, slow, MOST).placed
    waiting = {
        (batch.name, container): _Head(batch, container=container)
        for batch in batches
        for container in {lane.needs.container for lane in batch.lanes}
    }
    rooms = _Rooms(state, slow)
    placed: dict[int, list[int]] = {}
    left = MOST
    while waiting and left > 0 and (worker := rooms.take()) is not None:
        head = _best(waiting, worker)
        if head is None:
            continue
        tasks = placed.setdefault(worker.number, [])
        tasks.append(head.take())
        left -= 1
        if head.key is None:
            del waiting[head.name, head.container]
        if worker.room > len(tasks):
            rooms.give_back(worker, len(tasks))
    return placed


def take_back(state: State, placed: dict[int, list[int]], slow: frozenset[int] = frozenset()) -> dict[int, list[int]]:
    """Unstarted tasks to be asked back from each worker number, for slots that are free elsewhere."""
    if not state.crowded:
        return {}
    asked: dict[int, list[int]] = {}
    offers: dict[int, Offer] = {}
    # What was asked back before will take free slots first: never ask twice for one slot.
    on_their_way = sum(
        live.place.status == "returning" for donor in state.crowded.values() for live in donor.held.values()
    )
    for worker in state.roomy.values():
        free = worker.concurrency - worker.busy - on_their_way
        if free <= 0 or worker.number in placed or worker.number in slow:
            on_their_way -= min(on_their_way, max(worker.concurrency - worker.busy, 0))
            continue
        for donor in state.crowded.values():
            if free <= 0:
                break
            if donor is worker or donor.number in asked or _soon(donor):
                continue
            if not offers and packing.asked(state):
                offers = packing.pack(state, slow, MOST).offers
                _promise(state, offers)
            tasks = _spare(donor, worker, free, offers.get(worker.number))
            if tasks:
                asked[donor.number] = tasks
                free -= len(tasks)
    return asked


class _Head:
    """The waiting tasks of a batch that ask the same of a worker, taken from the front."""

    __slots__ = ("_rest", "container", "key", "name")

    def __init__(self, batch: BatchState, *, container: bool) -> None:
        self.name = batch.name
        self.container = container
        self._rest = self._all(batch, container=container)
        self.key: tuple[int, int] | None = next(self._rest, None)

    @staticmethod
    def _all(batch: BatchState, *, container: bool) -> Iterator[tuple[int, int]]:
        for lane in reversed(batch.lanes):
            if lane.needs.container == container:
                for task in batch.queues[lane]:
                    yield (-lane.priority, task)

    def take(self) -> int:
        """The first waiting task."""
        assert self.key is not None
        task = self.key[1]
        self.key = next(self._rest, None)
        return task


class _Rooms:
    """Workers with room, the emptiest first; among those that hold nothing, who has waited longest.

    The others are ordered only once no idle one is left: of a thousand workers a few tasks look at a few.
    """

    def __init__(self, state: State, slow: frozenset[int]) -> None:
        self._state = state
        self._slow = slow
        self._idle = iter(state.idle.values())
        self._given: list[_Rank] = []  # those that were given back while idle ones were left
        self._heap: list[_Rank] | None = None

    def take(self) -> WorkerState | None:
        """The emptiest; None when there is none left."""
        for worker in self._idle:
            if worker.number not in self._slow:
                return worker
        if self._heap is None:
            busy = (worker for number, worker in self._state.roomy.items() if number not in self._state.idle)
            self._heap = self._given + [_rank(worker, 0) for worker in busy if worker.number not in self._slow]
            heapq.heapify(self._heap)
        return self._state.workers[heapq.heappop(self._heap)[2]] if self._heap else None

    def give_back(self, worker: WorkerState, more: int) -> None:
        """It has room still, with so many tasks more than it holds."""
        if self._heap is None:
            self._given.append(_rank(worker, more))
        else:
            heapq.heappush(self._heap, _rank(worker, more))


def _best(waiting: dict[tuple[str, bool], _Head], worker: WorkerState) -> _Head | None:
    if worker.batch != EVERY_BATCH:
        plain = waiting.get((worker.batch, False))
        contained = waiting.get((worker.batch, True)) if worker.engine else None
        if plain is None or contained is None:
            return plain or contained
        return min(plain, contained, key=_key)
    return min((head for head in waiting.values() if worker.engine or not head.container), key=_key, default=None)


def _key(head: _Head) -> tuple[int, int]:
    return head.key or (0, 0)


_Rank = tuple[bool, float, int]


def _rank(worker: WorkerState, more: int) -> _Rank:
    held = worker.busy + more
    return held >= worker.concurrency, held / worker.concurrency, worker.number


def _soon(donor: WorkerState) -> bool:
    extra = max(donor.busy - donor.concurrency, 1)
    return donor.run_seconds is not None and extra * donor.run_seconds < WINDOW_SECONDS * donor.concurrency


def _promise(state: State, offers: dict[int, Offer]) -> None:
    """What was asked back before, and asks for more than a slot, will take its part of what is free."""
    for donor in state.crowded.values():
        for task, needs in donor.claims.items():
            if donor.held[task].place.status == "returning":
                taker = next((offer for offer in offers.values() if offer.begins(needs)), None)
                if taker is not None:
                    taker.give(needs)


def _spare(donor: WorkerState, worker: WorkerState, free: int, offer: Offer | None) -> list[int]:
    """What a worker with free slots can have of a crowded one; `offer` where it matters what is left of it."""
    extra = donor.busy - donor.concurrency
    # When not the slots are too few, what waits there asks for something; one by one, for each may be enough.
    claimed_only = extra <= 0
    if claimed_only and any(live.place.status == "returning" for live in donor.held.values()):
        return []
    tasks: list[int] = []
    for task in reversed(donor.claims if claimed_only else donor.held):
        if len(tasks) >= min(max(extra, 1), free):
            break
        live = donor.held[task]
        needs = live.lane.needs
        if (
            isinstance(live.place, Held)
            and live.place.status in ("assigned", "staging")
            and worker.serves(live.batch)
            and (worker.could(needs) if offer is None else offer.begins(needs))
        ):
            if offer is not None:
                offer.give(needs)
            tasks.append(task)
    return tasks
