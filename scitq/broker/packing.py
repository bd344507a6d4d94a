"""Which waiting task goes to which worker where tasks ask for more than a slot: pure, for `schedule`.

Tasks are looked at in their order over all batches. Each goes to the emptiest worker on which what it asks for is
free, or, beyond the slots, would be when the worker is empty. Who fits nowhere now, though on an empty worker, keeps
one of those with a free slot: the one that lacks least. What comes after it has there what it leaves. So with every
end a kept worker lacks less, and another is kept instead only when that one lacks less still: the turn comes.
"""

import heapq
from typing import TYPE_CHECKING, NamedTuple

from scitq.broker.offers import EXACT, Offer, Rank
from scitq.broker.state import State
from scitq.model import EVERY_BATCH
from scitq.needs import Needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scitq.broker.tasks import Lane

MOST_KEPT = 8  # workers, by one batch
LOOKS = 30_000  # at workers in one round: what is left waits until those before it had their turn


class Packed(NamedTuple):
    """What a round does: tasks for each worker number, in the order of handing over; a task -> the offer it keeps."""

    placed: dict[int, list[int]]
    kept: dict[int, Offer]
    offers: dict[int, Offer]  # as they are then, by worker number


def asked(state: State) -> bool:
    """Whether a task that waits or is held asks for more than a slot."""
    return bool(state.claimed) or any(
        lane.needs.asks for batch in state.batches.values() if not batch.stopped for lane in batch.lanes
    )


def pack(state: State, slow: frozenset[int], most: int) -> Packed:
    """At most so many placements, none on the workers that are `slow` to read."""
    offers = _Offers(state, slow)
    placed: dict[int, list[int]] = {}
    kept: dict[int, Offer] = {}
    keeping: dict[str, set[Needs]] = {}  # by batch: of those who ask the same the first keeps a worker
    waiting = _Waiting(state) if offers.by_number else None
    while waiting and most > 0 and offers.looks > 0:
        task, batch, needs = waiting.first()
        if (offer := offers.emptiest(batch, needs)) is not None:
            placed.setdefault(offer.worker.number, []).append(task)
            offers.give(offer, needs)
            waiting.take()
            most -= 1
            continue
        waiting.pass_over()
        alike = keeping.setdefault(batch, set())
        if len(alike) < MOST_KEPT and needs not in alike and (nearest := offers.nearest(batch, needs)) is not None:
            nearest.keep(task, needs)
            kept[task] = nearest
            alike.add(needs)
    return Packed(placed, kept, offers.by_number)


class _Waiting:
    """The waiting tasks, one lane beside the other: higher priority first, then the lower id."""

    def __init__(self, state: State) -> None:
        self._heap = [
            (-lane.priority, queue.first(), name, lane)
            for name, batch in state.batches.items()
            if not batch.stopped
            for lane, queue in batch.queues.items()
        ]
        heapq.heapify(self._heap)
        self._state = state
        self._following: dict[tuple[str, Lane], Iterator[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._heap)

    def first(self) -> tuple[int, str, Needs]:
        """Whose turn it is, with its batch."""
        _, task, batch, lane = self._heap[0]
        return task, batch, lane.needs

    def take(self) -> None:
        """The first is placed."""
        priority, task, batch, lane = self._heap[0]
        following = self._following.get((batch, lane))
        if following is None:
            following = self._following[batch, lane] = self._state.batches[batch].queues[lane].after(task)
        if (then := next(following, None)) is None:
            heapq.heappop(self._heap)
        else:
            heapq.heapreplace(self._heap, (priority, then, batch, lane))

    def pass_over(self) -> None:
        """The first, and all of its lane, must wait."""
        heapq.heappop(self._heap)


class _Offers:
    """Workers with room; of two that are equally full the one that has been idle for longer comes first."""

    def __init__(self, state: State, slow: frozenset[int]) -> None:
        busy = (worker for number, worker in state.roomy.items() if number not in state.idle)
        workers = [worker for worker in (*state.idle.values(), *busy) if worker.number not in slow]
        self._offers = [Offer(worker, order) for order, worker in enumerate(workers)]
        self.by_number = {offer.worker.number: offer for offer in self._offers}
        self.looks = LOOKS
        self._serving: dict[str, list[Offer]] = {}
        for offer in self._offers:
            self._serving.setdefault(offer.worker.batch, []).append(offer)
        self._heaps: dict[tuple[str, bool, bool], list[Rank]] = {}
        self._most: dict[str, tuple[float, ...]] = {}  # no task that asks for more fits one of these
        for name in self._serving:
            self._bound(name)

    def give(self, offer: Offer, needs: Needs) -> None:
        """Hand a task over."""
        offer.give(needs)
        if not offer.slots and offer.room:  # what comes now need only fit when it is empty
            name = offer.worker.batch
            self._most[name] = tuple(map(max, self._most[name], offer.most()))

    def emptiest(self, batch: str, needs: Needs) -> Offer | None:
        """The emptiest that takes a task of the batch; None when none does."""
        heaps = [self._heap(name, needs) for name in (batch, EVERY_BATCH) if self._may_fit(name, needs)]
        if not heaps:
            return None
        found = None
        others: list[tuple[list[Rank], Rank]] = []
        while found is None and (heap := min(filter(None, heaps), default=None)) is not None:
            offer = self._offers[heap[0][2]]
            if offer.room <= 0:
                heapq.heappop(heap)
            elif offer.rank is not heap[0]:
                heapq.heapreplace(heap, offer.rank)
            elif offer.fits(needs):
                found = offer
            else:
                others.append((heap, heapq.heappop(heap)))
            self.looks -= 1
        for heap, rank in others:
            heapq.heappush(heap, rank)
        if found is None and others:
            for name in self._serving.keys() & {batch, EVERY_BATCH}:
                self._bound(name)
        return found

    def _heap(self, name: str, needs: Needs) -> list[Rank]:
        """Those that serve exactly this and have an engine or GPUs where such are needed, the emptiest first."""
        kind = (name, needs.container, bool(needs.gpu))
        heap = self._heaps.get(kind)
        if heap is None:
            heap = self._heaps[kind] = [
                offer.rank
                for offer in self._serving.get(name, ())
                if (offer.worker.engine or not needs.container) and (offer.worker.gpus or not needs.gpu)
            ]
            heapq.heapify(heap)
        return heap

    def _may_fit(self, name: str, needs: Needs) -> bool:
        most = self._most.get(name)
        if most is None:
            return False
        cpu, mem, gpu, disk = most
        return needs.cpu <= cpu + EXACT and needs.mem <= mem and needs.gpu <= gpu + EXACT and needs.disk <= disk

    def _bound(self, name: str) -> None:
        most = [offer.most() for offer in self._serving[name] if offer.room > 0]
        self._most[name] = tuple(map(max, *most, (0.0,) * 4, (0.0,) * 4))

    def nearest(self, batch: str, needs: Needs) -> Offer | None:
        """The one with a free slot, kept for nobody, that could run the task when empty, and lacks least."""
        able = [
            offer
            for name in (batch, EVERY_BATCH)
            for offer in self._serving.get(name, ())
            if offer.slots > 0 and offer.room > 0 and not offer.kept and offer.worker.could(needs)
        ]
        self.looks -= sum(len(self._serving.get(name, ())) for name in (batch, EVERY_BATCH))
        return min(
            able,
            key=lambda offer: (sum(short.lack for short in offer.shortfalls(needs)), offer.worker.number),
            default=None,
        )
