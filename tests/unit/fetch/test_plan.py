"""Two listings in order -> what is to be done, and nothing that an error may have hidden is deleted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.fetch.plan import Sides, Step, compare, plan
from scitq.fetch.storage import Entry, FetchError

HERE = Sides(source_is_local=True, target_is_local=True)
UP = Sides(source_is_local=True, target_is_local=False)
DOWN = Sides(source_is_local=False, target_is_local=True)
ACROSS = Sides(source_is_local=False, target_is_local=False)


def entry(name: str, size: int = 1, at: float | None = 100.0, md5: str = "", trouble: str = "") -> Entry:
    return Entry(name, size, "", trouble, at, md5)


def done(steps: list[Step]) -> list[tuple[str, str]]:
    return [(step.do, step.entry.name) for step in steps]


def test_each_name_gets_its_step() -> None:
    source = [entry("a"), entry("b", size=2), entry("c"), entry("e", trouble="is a socket")]
    target = [entry("0"), entry("b"), entry("c"), entry("d"), entry("e"), entry("f")]

    assert done(list(plan(source, target, HERE))) == [
        ("delete", "0"),
        ("copy", "a"),
        ("copy", "b"),
        ("keep", "c"),
        ("delete", "d"),
        ("trouble", "e"),
        ("delete", "f"),
    ]


def test_what_lies_below_a_folder_that_could_not_be_read_is_not_deleted() -> None:
    source = [entry("sub", trouble="permission denied")]
    target = [entry("sub-x"), entry("sub/x"), entry("sub/y/z"), entry("sub0")]

    assert done(list(plan(source, target, HERE))) == [("trouble", "sub"), ("delete", "sub-x"), ("delete", "sub0")]


def test_a_listing_out_of_order_ends_it_before_anything_wrong_is_said() -> None:
    steps = plan([entry("a")], [entry("b"), entry("a")], HERE)
    assert next(steps).do == "copy"
    with pytest.raises(FetchError, match="listed out of order: a after b"):
        list(steps)


def test_what_is_not_a_file_in_the_target_is_copied_over() -> None:
    assert compare(entry("x"), entry("x", trouble="is a link that leads nowhere"), HERE) == "copy"


@pytest.mark.parametrize(
    ("sides", "source", "target", "verdict"),
    [
        # Where a copy keeps the time, the times are the same, or the content decides where it can.
        (HERE, entry("x", at=100.25), entry("x", at=100.25), "keep"),
        (HERE, entry("x", at=100.25), entry("x", at=100.26), "copy"),
        (HERE, entry("x", at=100.0), entry("x", at=100.5), "keep"),
        (DOWN, entry("x", at=100.0), entry("x", at=100.7), "keep"),
        (DOWN, entry("x", at=200.0), entry("x", at=100.0), "copy"),
        (DOWN, entry("x", at=100.0), entry("x", at=200.0), "copy"),
        (DOWN, entry("x", at=200.0, md5="a"), entry("x", at=100.0), "look"),
        # Where it does not, the copy is younger than its source.
        (UP, entry("x", at=100.0), entry("x", at=100.0), "keep"),
        (UP, entry("x", at=100.0), entry("x", at=900.0), "keep"),
        (UP, entry("x", at=100.7), entry("x", at=100.0), "keep"),
        (UP, entry("x", at=101.2), entry("x", at=100.0), "copy"),
        (UP, entry("x", at=100.7), entry("x", at=100.5), "copy"),
        (UP, entry("x", at=900.0), entry("x", at=100.0), "copy"),
        (UP, entry("x", at=900.0), entry("x", at=100.0, md5="a"), "look"),
        (ACROSS, entry("x", at=900.0), entry("x", at=100.0), "copy"),
        (ACROSS, entry("x", at=100.0), entry("x", at=900.0), "keep"),
        # Digests that both know say more than times, sizes more than anything, and no time says nothing.
        (ACROSS, entry("x", at=900.0, md5="a"), entry("x", at=100.0, md5="a"), "keep"),
        (ACROSS, entry("x", at=100.0, md5="a"), entry("x", at=900.0, md5="b"), "copy"),
        (UP, entry("x", size=2, at=1.0), entry("x", at=9.0), "copy"),
        (UP, entry("x", at=None), entry("x", at=9.0), "keep"),
        (DOWN, entry("x", size=-1), entry("x"), "keep"),
        # The content was asked for.
        (HERE._replace(by_content=True), entry("x"), entry("x"), "look"),
        (UP._replace(by_content=True), entry("x"), entry("x", at=900.0, md5="a"), "look"),
        (UP._replace(by_content=True), entry("x"), entry("x", at=900.0), "keep"),
    ],
)
def test_when_a_file_is_copied_again(sides: Sides, source: Entry, target: Entry, verdict: str) -> None:
    assert compare(source, target, sides) == verdict


NAMES = st.sets(st.text("ab/-.", min_size=1, max_size=4))


@given(NAMES, NAMES)
def test_the_plan_makes_both_the_same(mine: set[str], theirs: set[str]) -> None:
    steps = list(plan(map(entry, sorted(mine)), map(entry, sorted(theirs)), HERE))

    assert {step.entry.name for step in steps if step.do == "delete"} == theirs - mine
    assert {step.entry.name for step in steps if step.do == "copy"} == mine - theirs
    assert [step.entry.name for step in steps] == sorted(mine | theirs)
