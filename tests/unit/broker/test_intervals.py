"""Runs of integers against a plain set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.broker.intervals import IntervalSet, members, runs_of


@pytest.mark.parametrize(
    ("added", "runs"),
    [
        ([], ()),
        ([(1, 3)], (1, 3)),
        ([(1, 3), (5, 6)], (1, 3, 5, 6)),
        ([(5, 6), (1, 3)], (1, 3, 5, 6)),
        ([(1, 3), (4, 6)], (1, 6)),
        ([(4, 6), (1, 3)], (1, 6)),
        ([(1, 2), (5, 6), (3, 4)], (1, 6)),
    ],
)
def test_runs_that_touch_become_one(added: list[tuple[int, int]], runs: tuple[int, ...]) -> None:
    numbers = IntervalSet()
    for first, last in added:
        numbers.add(first, last)
    assert numbers.runs() == runs
    assert IntervalSet(runs).runs() == runs
    assert len(numbers) == sum(1 for _ in members(runs))


@pytest.mark.parametrize(("removed", "runs"), [(1, (2, 5)), (5, (1, 4)), (3, (1, 2, 4, 5)), (2, (1, 1, 3, 5))])
def test_removing_splits_a_run(removed: int, runs: tuple[int, ...]) -> None:
    numbers = IntervalSet((1, 5))
    numbers.remove(removed)
    assert numbers.runs() == runs
    assert removed not in numbers
    assert len(numbers) == 4


@pytest.mark.parametrize(
    ("first", "last", "runs"), [(1, 5, ()), (1, 2, (3, 5)), (4, 5, (1, 3)), (2, 3, (1, 1, 4, 5))]
)
def test_a_run_is_removed_at_once(first: int, last: int, runs: tuple[int, ...]) -> None:
    numbers = IntervalSet((1, 5))
    numbers.remove_run(first, last)
    assert numbers.runs() == runs
    assert list(numbers) == list(members(runs))
    assert len(numbers) == 5 - (last - first + 1)


@pytest.mark.parametrize(("first", "last"), [(0, 1), (3, 5), (4, 4), (2, 4)])
def test_a_run_with_a_stranger_in_it_raises_and_changes_nothing(first: int, last: int) -> None:
    numbers = IntervalSet((1, 3, 5, 6))
    with pytest.raises(KeyError):
        numbers.remove_run(first, last)
    assert numbers.runs() == (1, 3, 5, 6)
    assert len(numbers) == 5


@pytest.mark.parametrize("absent", [0, 4, 9])
def test_removing_what_is_no_member_raises_and_changes_nothing(absent: int) -> None:
    numbers = IntervalSet((1, 3, 5, 6))
    with pytest.raises(KeyError):
        numbers.remove(absent)
    assert numbers.runs() == (1, 3, 5, 6)


@pytest.mark.parametrize(("number", "above"), [(-1, [2, 3, 6]), (2, [3, 6]), (3, [6]), (4, [6]), (6, []), (9, [])])
def test_after(number: int, above: list[int]) -> None:
    assert list(IntervalSet((2, 3, 6, 6)).after(number)) == above


@pytest.mark.parametrize("number", range(-1, 12))
def test_below(number: int) -> None:
    for runs in ((), (2, 3, 6, 6, 8, 10), (0, 4)):
        assert IntervalSet(runs).below(number) == sum(member < number for member in members(runs))


def test_an_empty_set_has_no_first() -> None:
    assert IntervalSet((4, 9)).first() == 4
    with pytest.raises(IndexError):
        IntervalSet().first()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=80))
def test_it_is_a_set(changes: list[tuple[bool, int]]) -> None:
    plain: set[int] = set()
    numbers = IntervalSet()
    for add, number in changes:
        if add and number not in plain:
            plain.add(number)
            numbers.add(number, number)
        elif not add and number in plain:
            plain.remove(number)
            numbers.remove(number)
    assert list(numbers) == sorted(plain)
    assert len(numbers) == len(plain)
    assert numbers.runs() == runs_of(sorted(plain))
    assert all((number in numbers) == (number in plain) for number in range(-1, 32))
    assert list(numbers.after(10)) == [number for number in sorted(plain) if number > 10]
