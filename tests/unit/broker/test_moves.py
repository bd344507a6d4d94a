"""Every move of the table can be made, every other raises with the story and changes nothing."""

from collections.abc import Callable

import pytest
from msgspec import Raw

from scitq.broker import events
from scitq.broker.events import RESULTS, Entry, Fact, Result
from scitq.broker.moves import MOVES, IllegalMove, check_move
from scitq.model import ENDED, Changes, Spec
from scitq.wire import Submit, pack_spec
from tests.pure_broker import PureBroker, dump

TASK = 2  # requires task 1
PAIRS = [(old, new) for old in MOVES for new in MOVES if old != new]


def result(status: str, attempt: int = 1) -> Result:
    return Result(attempt, 1, 1, RESULTS.index(status), 1 if status == "failed" else 0, 1, None, "", 0.0, None, 0)


def ended(status: str, *, again: bool = False) -> Fact:
    return events.Ended(TASK, result(status), again)


START: dict[str, list[Fact]] = {
    "waiting": [],
    "pending": [events.Assigned(1, (1,)), events.Ended(1, result("succeeded"))],
}
START["assigned"] = [*START["pending"], events.Assigned(1, (TASK,))]
START["staging"] = [*START["assigned"], events.Entered("staging", (TASK,), (1.0,))]
START["running"] = [*START["assigned"], events.Entered("running", (TASK,), (1.0,))]
START["uploading"] = [*START["running"], events.Entered("uploading", (TASK,), (2.0,))]
START["returning"] = [*START["staging"], events.Asked((TASK,), "requeue")]
START["succeeded"] = [*START["running"], ended("succeeded")]
START["failed"] = [*START["running"], ended("failed")]
START["cancelled"] = [*START["pending"], events.Cancelled((TASK, TASK))]

FACTS: dict[str, list[Fact]] = {
    "assigned": [events.Assigned(1, (TASK,))],
    "staging": [events.Entered("staging", (TASK,), (1.0,))],
    "running": [events.Entered("running", (TASK,), (1.0,))],
    "uploading": [events.Entered("uploading", (TASK,), (1.0,))],
    "returning": [events.Asked((TASK,), "requeue")],
    "succeeded": [ended("succeeded")],
    "failed": [ended("failed")],
    "cancelled": [ended("cancelled"), events.Cancelled((TASK, TASK))],
    "pending": [events.Returned((TASK,)), events.Requeued((TASK,)), ended("failed", again=True),
                events.Relaunched((TASK, TASK), Changes()), events.Kept((TASK,))],
}  # fmt: skip


def at(status: str) -> PureBroker:
    """A broker whose task 2 is there."""
    broker = PureBroker()
    broker.record(events.WorkerJoined(1, "id", "w1", "Default", 4, 0, "h", 1, 1, "v"))
    for number, requires in (("a", ()), ("b", (1,))):
        packed = pack_spec(Spec(command=("true",), requires=requires))
        broker.ask(Submit(id=1, request=number, specs=(Raw(packed),)))
    for fact in START[status]:
        broker.record(fact)
    assert broker.state.status_of(TASK) == status
    return broker


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_the_table_is_the_law(old: str, new: str) -> None:
    if new in MOVES[old]:
        check_move(TASK, old, new, "its story")
    else:
        with pytest.raises(IllegalMove, match=f"task {TASK} cannot go from {old} to {new}: its story"):
            check_move(TASK, old, new, "its story")


def test_all_ends_are_left_only_by_relaunch_and_every_status_has_moves() -> None:
    assert all(MOVES[end] == {"pending", "waiting"} for end in ENDED)
    assert {new for moves in MOVES.values() for new in moves} == set(MOVES)
    assert all("cancelled" in MOVES[status] for status in MOVES.keys() - ENDED)


def facts_that(judge: Callable[[str, str], bool]) -> list[tuple[str, Fact]]:
    return [(old, fact) for old in MOVES for new, facts in FACTS.items() for fact in facts if judge(old, new)]


@pytest.mark.parametrize(("old", "fact"), facts_that(lambda old, new: True))
def test_a_fact_moves_legally_or_changes_nothing(old: str, fact: Fact) -> None:
    broker = at(old)
    before = dump(broker.state)
    try:
        broker.record(fact)
    except IllegalMove:
        assert dump(broker.state) == before
    else:
        new = broker.state.status_of(TASK)
        assert new == old or new in MOVES[old]


@pytest.mark.parametrize(
    ("old", "fact"),
    facts_that(lambda old, new: new not in MOVES[old] and old != new and (old, new) != ("returning", "returning")),
)
def test_a_fact_that_makes_no_legal_move_raises(old: str, fact: Fact) -> None:
    if isinstance(fact, events.Kept) and old == "returning":
        pytest.skip("`Kept` leads back to where it was")
    broker = at(old)
    with pytest.raises(IllegalMove):
        broker.record(fact)


def test_nothing_can_befall_a_task_that_is_none() -> None:
    broker = at("running")
    before = dump(broker.state)
    with pytest.raises(IllegalMove, match="there is no task 9"):
        broker.record(events.Assigned(1, (9,)))
    assert dump(broker.state) == before


def test_a_held_task_is_not_deleted() -> None:
    broker = at("running")
    with pytest.raises(IllegalMove, match="is with a worker"):
        broker.record(events.Deleted((TASK, TASK)))


def test_an_entry_has_its_time() -> None:
    broker = at("assigned")
    assert broker.entries[-1] == Entry(1_000.0, "test", (events.Assigned(1, (TASK,)),))
