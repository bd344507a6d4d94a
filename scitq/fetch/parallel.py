"""Many things done by several threads, in memory that does not grow with their number."""

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import TypeVar

from scitq.fetch.storage import FetchError, Watch

T = TypeVar("T")
R = TypeVar("R")

_PATIENCE_S = 5.0  # how long whoever leaves early waits for what is under way to end
_BUNDLE = 256


def each(
    items: Iterable[T], work: Callable[[T], R], parallel: int, watch: Watch
) -> Iterator[tuple[T, R | FetchError]]:
    """Each item with what its work returned, or the FetchError that it raised, as they are done.

    Items are taken as there is room, at most four for each thread. Any other exception, of the work or of the items,
    is raised here. Leaving early ends the transfer for all that are still at it.
    """
    todo: SimpleQueue[T | None] = SimpleQueue()
    done: SimpleQueue[tuple[T, R | FetchError | BaseException]] = SimpleQueue()

    def serve() -> None:
        while (item := todo.get()) is not None:
            try:
                done.put((item, work(item)))
            except BaseException as error:  # noqa: BLE001 - raised where the results are read
                done.put((item, error))

    threads: list[threading.Thread] = []
    under_way, ended = 0, False
    source = iter(items)
    try:
        while True:
            while not ended and under_way < 4 * parallel:
                item = next(source, None)
                if item is None:
                    ended = True
                    break
                todo.put(item)
                under_way += 1
                if len(threads) < min(parallel, under_way):
                    threads.append(threading.Thread(target=serve, daemon=True))
                    threads[-1].start()
            if not under_way:
                break
            item, result = done.get()
            under_way -= 1
            if isinstance(result, BaseException) and not isinstance(result, FetchError):
                try:
                    raise result
                finally:
                    del result
            yield item, result
    except BaseException:
        watch.abandon()
        raise
    finally:
        for _ in threads:
            todo.put(None)
        for thread in threads:
            thread.join(_PATIENCE_S if under_way else None)


def ahead(items: Iterable[T], depth: int, bundle_of: int = _BUNDLE) -> Iterator[T]:
    """The same items, found by a thread that runs up to about `depth` of them ahead of who takes them.

    They are handed over in bundles of so many: few for items that take long to find.
    """
    found: SimpleQueue[list[T] | BaseException | None] = SimpleQueue()
    room = threading.Semaphore(max(1, depth // bundle_of))
    left = threading.Event()

    def look() -> None:
        try:
            bundle: list[T] = []
            for item in items:
                bundle.append(item)
                if len(bundle) == bundle_of:
                    found.put(bundle)
                    bundle = []
                    room.acquire()
                    if left.is_set():
                        return
            found.put(bundle)
            found.put(None)
        except BaseException as error:  # noqa: BLE001 - raised where the items are read
            found.put(bundle)
            found.put(error)

    threading.Thread(target=look, daemon=True).start()
    try:
        while (bundle := found.get()) is not None:
            if isinstance(bundle, BaseException):
                try:
                    raise bundle
                finally:
                    del bundle  # else it holds what held it, and connections with it
            yield from bundle
            room.release()
    finally:
        left.set()
        room.release()
