"""What to ask next time: the rule, number by number."""

import pytest

from scitq.shell.usage.advice import Used, options, readable
from scitq.shell.values import SIZE

MIB = 1 << 20
GIB = 1 << 30


@pytest.mark.parametrize(
    ("cores", "cpu"),
    [(0.0, "1"), (0.3, "1"), (1.0, "1"), (1.1, "1"), (1.11, "2"), (1.9, "2"), (2.1, "2"), (7.2, "8")],
)
def test_cores_are_rounded_up_and_a_tenth_is_forgiven(cores: float, cpu: str) -> None:
    assert options(Used(cores=cores)) == {"cpu": cpu}


@pytest.mark.parametrize(
    ("memory", "mem"),
    [
        (1, "64M"),
        (50 * MIB, "64M"),
        (100 * MIB, "120M"),
        (int(2.5 * GIB), "3G"),
        (int(2.51 * GIB), "3.1G"),
        (64 * GIB, "77G"),
        (100 * GIB, "120G"),
        (900 * GIB, "1.1T"),
    ],
)
def test_memory_is_the_most_and_a_fifth(memory: int, mem: str) -> None:
    assert options(Used(memory=memory)) == {"mem": mem}


def test_memory_is_more_than_what_was_too_little() -> None:
    assert options(Used(memory=GIB, wanting=4 * GIB)) == {"mem": "4.8G"}
    assert options(Used(memory=8 * GIB, wanting=4 * GIB)) == {"mem": "9.6G"}


def test_disk_is_asked_where_it_is_worth_it() -> None:
    assert options(Used(disk=10 * GIB)) == {"disk": "12G"}
    assert options(Used(disk=80 * MIB)) == {}


def test_gpus_are_asked_as_before() -> None:
    assert options(Used(gpu=2.0)) == {"gpu": "2"}
    assert options(Used(gpu=0.5)) == {"gpu": "0.5"}


def test_what_is_not_known_is_not_asked() -> None:
    assert options(Used()) == {}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "1M"),
        (MIB, "1M"),
        (MIB + 1, "1.1M"),
        (10 * MIB, "10M"),
        (10 * MIB + 1, "11M"),
        (100 * MIB, "100M"),
        (100 * MIB + 1, "110M"),
        (990 * MIB, "990M"),
        (990 * MIB + 1, "1G"),
        (GIB, "1G"),
        (GIB + 1, "1.1G"),
        (990 * GIB + 1, "1T"),
        (2000 << 40, "2000T"),
    ],
)
def test_a_size_has_two_digits(count: int, text: str) -> None:
    assert readable(count) == text


@pytest.mark.parametrize("shift", range(20, 45))
def test_a_size_said_is_no_less_than_what_was_meant(shift: int) -> None:
    for count in ((1 << shift) - 1, 1 << shift, (1 << shift) + 1, 3 << (shift - 1), 5 << (shift - 2)):
        said = SIZE.parse(readable(count)).value

        assert count - 1 <= said <= max(1.11 * count, MIB)  # what a tenth of a unit is not whole of is cut off
