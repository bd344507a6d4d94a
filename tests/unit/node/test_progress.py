"""The lines that tell how far something is."""

import pytest

from scitq.node.progress import Progress, amount, amount_of, duration

GIB = 1 << 30
MIB = 1 << 20


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    return Progress(clock)


def test_a_download_tells_bytes_rate_and_what_is_left(progress: Progress, clock: Clock) -> None:
    item = progress.begin("1.1", "s3://b/x", 3 * GIB)
    assert progress.lines("1.1") == ("s3://b/x: 0 of 3 GiB",)
    for _ in range(31):
        item.add(40 * MIB)
        clock.now += 1

    assert progress.lines("1.1") == ("s3://b/x: 1.2 of 3 GiB, 36 MiB/s, 51 s left",)

    item.end()
    assert progress.lines("1.1") == ()


def test_what_an_earlier_try_brought_tells_nothing_of_the_rate(progress: Progress, clock: Clock) -> None:
    item = progress.begin("1.1", "x", 2 * GIB)
    item.add(GIB)
    clock.now += 2
    item.add(2 * MIB)

    assert progress.lines("1.1") == ("x: 1 of 2 GiB, 1 MiB/s, 17 min left",)


def test_the_rate_is_that_of_the_last_seconds(progress: Progress, clock: Clock) -> None:
    item = progress.begin("1.1", "x", -1)
    for count in [100 * MIB] * 20 + [MIB] * 20:
        item.add(count)
        clock.now += 1

    assert progress.lines("1.1") == ("x: 2 GiB, 922 KiB/s",)


def test_what_stands_still_says_so(progress: Progress, clock: Clock) -> None:
    item = progress.begin("1.1", "x", 10 * MIB)
    item.add(5 * MIB)
    clock.now += 130

    assert progress.lines("1.1") == ("x: 5 of 10 MiB, nothing moved for 2 min",)

    item.add(5 * MIB)
    clock.now += 130
    assert progress.lines("1.1") == ("x: 10 of 10 MiB",)


def test_more_than_all_is_all(progress: Progress) -> None:
    """A try that failed is counted too."""
    progress.begin("1.1", "x", 900).add(1500)

    assert progress.lines("1.1") == ("x: 900 of 900 bytes",)


def test_what_is_said_stands_until_more_bytes_come(progress: Progress) -> None:
    with progress.begin("1.1", "", 0) as item:
        assert progress.lines("1.1") == ()
        item.say("waits for room")
        assert progress.lines("1.1") == ("waits for room",)
    with progress.begin("1.1", "x", -1) as item:
        item.say("its source is asked")
        assert progress.lines("1.1") == ("x: its source is asked",)
        item.add(5)
        assert progress.lines("1.1") == ("x: 5 bytes",)


def test_a_detail_goes_before_the_bytes(progress: Progress) -> None:
    item = progress.begin("image a", "image a", 0)
    item.reach(120 * MIB, 310 * MIB, "3 of 7 layers")

    assert progress.lines("image a") == ("image a: 3 of 7 layers, 120 of 310 MiB",)


def test_several_things_of_several_names(progress: Progress) -> None:
    ones = [progress.begin(name, what, -1) for name, what in (("2.1", "b"), ("1.1", "a"), ("1.1", "a"))]
    ones[1].end()
    ones[1].end()

    assert progress.lines("1.1", "3.1", "2.1") == ("a: 0 bytes", "b: 0 bytes")


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 KiB"), (40 * MIB, "40 MiB"), (1000 * MIB, "1 GiB")],
)
def test_amounts(count: int, told: str) -> None:
    assert amount(count) == told


def test_a_part_has_the_unit_of_the_whole() -> None:
    assert amount_of(1_288_490_189, 3_650_722_202) == "1.2 of 3.4 GiB"
    assert amount_of(5, 3 * MIB) == "0 of 3 MiB"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5_400, "2 h"), (172_800, "2 days")]
)
def test_durations(seconds: float, told: str) -> None:
    assert duration(seconds) == told
