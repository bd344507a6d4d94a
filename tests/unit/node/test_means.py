from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.needs import ALL_GPUS, Needs
from scitq.node.gpus import Device
from scitq.node.means import Means, Share

GIB = 1 << 30
PLAIN = Needs()
DEVICES = tuple(Device(number, f"GPU-{number}", "T4", 16 * GIB, "nvidia") for number in range(2))


def means(cpus: int = 8, memory: int = 16 * GIB) -> Means:
    return Means(cpus, memory, DEVICES)


def test_who_asks_for_nothing_has_its_part_of_the_machine() -> None:
    books = means()

    assert books.take("1.1", PLAIN, 4) == Share(cpus=2, mem=4 * GIB)
    assert books.untouched


def test_there_is_always_one_cpu_to_tell_of() -> None:
    assert means(cpus=2).take("1.1", PLAIN, 8).cpus == 1
    assert means().take("1.1", Needs(cpu=0.5), 2).cpus == 1
    assert means().take("2.1", Needs(cpu=3.5), 2).cpus == 3


def test_who_asks_is_told_and_held_to_what_it_asked_for() -> None:
    asked = Needs(cpu=3, mem=5 * GIB, gpu=1)

    assert means().take("1.1", asked, 4) == Share(3, 5 * GIB, 3, 5 * GIB, DEVICES[:1])


def test_who_asks_for_memory_alone_is_held_to_no_cpus() -> None:
    share = means().take("1.1", Needs(mem=GIB), 4)

    assert (share.cpus, share.cpu_limit, share.mem_limit) == (2, 0, GIB)


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        (Needs(cpu=5), Needs(cpu=3), True),
        (Needs(cpu=5), Needs(cpu=3.5), False),
        (Needs(cpu=6), PLAIN, True),
        (Needs(cpu=7), PLAIN, False),
        (Needs(mem=10 * GIB), PLAIN, True),
        (Needs(mem=10 * GIB), Needs(mem=6 * GIB), True),
        (Needs(mem=10 * GIB), Needs(mem=7 * GIB), False),
        (Needs(gpu=1), Needs(gpu=1), True),
        (Needs(gpu=2), Needs(gpu=0.5), False),
        (Needs(gpu=0.5), Needs(gpu=2), False),
        (Needs(gpu=0.5), Needs(gpu=ALL_GPUS), False),
        (Needs(disk=10**18), Needs(disk=10**18), True),
    ],
)
def test_a_second_one_fits_beside_the_first_or_waits_for_its_end(first: Needs, second: Needs, fits: bool) -> None:
    books = means()
    books.take("1.1", first, 4)

    assert books.fits(second, 4, 1) is fits
    books.give_back("1.1")
    assert books.fits(second, 4, 0)


def test_who_runs_without_a_request_has_the_cpus_of_a_slot() -> None:
    assert means().fits(Needs(cpu=4), 4, 2)
    assert not means().fits(Needs(cpu=4), 4, 3)


def test_among_those_who_ask_for_nothing_slots_alone_decide() -> None:
    assert means().fits(PLAIN, 1, 7)


def test_what_was_given_before_a_restart_is_given() -> None:
    books = means()
    books.hold("1.1", Needs(cpu=8, gpu=1), (1,))

    assert not books.fits(PLAIN, 4, 1)
    books.give_back("1.1")
    books.hold("2.1", Needs(gpu=1), (1,))
    assert books.take("3.1", Needs(gpu=1), 4).gpus == DEVICES[:1]


def test_fewer_slots_are_larger_ones_at_once() -> None:
    books = means()
    books.take("1.1", Needs(mem=GIB), 8)

    assert books.fits(Needs(cpu=6), 8, 2)
    assert not books.fits(Needs(cpu=6), 2, 2)
    assert not books.fits(Needs(cpu=1), 2, 2)


def test_why_it_never_fits_names_what_is_asked_and_what_there_is() -> None:
    line = means().why_never(Needs(cpu=1.5, mem=20 * GIB, gpu=ALL_GPUS))

    assert line == (
        "it asks for --cpu 1.5 --mem 20 GiB all GPUs, and this worker has 8 cpus, 16 GiB of memory, 2 GPUs"
    )


ASKED = st.builds(
    Needs,
    cpu=st.sampled_from([0.0, 0.0, 0.1, 0.5, 1, 1.5, 3, 8]),
    mem=st.sampled_from([0, 0, GIB, 3 * GIB, 16 * GIB]),
    gpu=st.sampled_from([0.0, 0.0, 0.3, 0.5, 1, 2, ALL_GPUS]),
)


@given(data=st.data(), cpus=st.integers(1, 8))
def test_more_than_there_is_is_never_given(data: Any, cpus: int) -> None:
    books = Means(cpus, 16 * GIB, DEVICES)
    slots = 4
    running: dict[str, tuple[Needs, Share]] = {}
    for number in range(data.draw(st.integers(1, 30))):
        if running and data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(running)))
            del running[name]
            books.give_back(name)
            continue
        needs = data.draw(ASKED)
        if len(running) < slots and books.fits(needs, slots, len(running)):
            running[str(number)] = needs, books.take(str(number), needs, slots)
        assert sum(needs.cpu or cpus / slots for needs, _ in running.values()) <= cpus + 1e-3
        assert sum(needs.mem for needs, _ in running.values()) <= 16 * GIB
        for device in DEVICES:
            shares = [needs.gpu for needs, share in running.values() if device in share.gpus]
            assert len(shares) < 2 or (all(0 < one < 1 for one in shares) and sum(shares) < 1.001)
