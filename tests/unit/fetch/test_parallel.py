"""Many at once: bounded, complete, and over when somebody leaves."""

import threading
from collections.abc import Iterator

import pytest

from scitq.fetch.parallel import ahead, each
from scitq.fetch.storage import FetchError, Stopped, Watch

DEADLINE = 10.0


def test_each_item_is_done_once_by_several_threads_and_failures_come_with_their_item() -> None:
    together = threading.Barrier(4)

    def work(number: int) -> int:
        if number < 4:
            together.wait(DEADLINE)
        if number % 10 == 7:
            raise FetchError(f"{number} failed", retry=False)
        return number * 2

    results = dict(each(range(100), work, 4, Watch()))

    assert results.keys() == set(range(100))
    failed = {number for number, result in results.items() if isinstance(result, FetchError)}
    assert failed == set(range(7, 100, 10))
    assert all(results[number] == number * 2 for number in results if number not in failed)


def test_no_item_is_no_thread() -> None:
    before = threading.active_count()
    assert list(each([], str, 4, Watch())) == []
    assert threading.active_count() == before


def test_items_are_taken_as_there_is_room() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1_000):
            taken += 1
            yield number

    results = each(items(), str, 2, Watch())
    next(results)
    assert taken <= 9
    assert len(list(results)) == 999


def test_whoever_leaves_early_ends_the_others() -> None:
    watch = Watch()
    begun, ended = threading.Semaphore(0), threading.Semaphore(0)

    def work(number: int) -> None:
        if not number:
            return
        begun.release()
        try:
            watch.pause(60)
        except Stopped:
            ended.release()
            raise

    results = each(range(4), work, 4, watch)
    next(results)
    for _ in range(3):
        assert begun.acquire(timeout=DEADLINE)
    results.close()  # type: ignore[attr-defined]
    for _ in range(3):
        assert ended.acquire(timeout=DEADLINE)


def test_what_nobody_foresaw_is_raised_where_the_results_are_read() -> None:
    def work(number: int) -> float:
        return 1 / number

    with pytest.raises(ZeroDivisionError):
        list(each([0], work, 2, Watch()))

    def items() -> Iterator[int]:
        yield 1
        raise FetchError("the listing broke", retry=True)

    with pytest.raises(FetchError, match="the listing broke"):
        list(each(items(), work, 2, Watch()))


def test_ahead_gives_the_same_items_and_the_same_end() -> None:
    assert list(ahead(range(10_000), 1_000)) == list(range(10_000))

    def items() -> Iterator[int]:
        yield from range(300)
        raise FetchError("the listing broke", retry=True)

    found: list[int] = []
    with pytest.raises(FetchError, match="the listing broke"):
        found.extend(ahead(items(), 10_000))
    assert found == list(range(300))


def test_ahead_is_not_further_ahead_than_asked_and_ends_when_left() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100_000):
            taken += 1
            yield number

    threads = set(threading.enumerate())
    found = ahead(items(), 1_000)
    assert next(found) == 0
    (thread,) = set(threading.enumerate()) - threads
    found.close()  # type: ignore[attr-defined]
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert taken < 3_000
