"""How much of the disk a folder takes, and when it is looked at."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scitq.node import folders
from scitq.node.footprint import FIRST, SELDOM, SHARE, SLICE, TROUBLE, Footprints, Walk, weigh

MIB = 1 << 20


def a_folder(tmp_path: Path, name: str = "1.1") -> Path:
    folders.make_parts(f"{tmp_path}/{name}")
    return tmp_path / name


def write(path: Path, mib: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(mib * MIB))


def test_inputs_results_and_scratch_count_and_resources_do_not(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    for part, mib in (("input", 1), ("output/deep", 2), ("tmp", 4), ("resource", 8)):
        write(folder / part / "x", mib)

    assert 7 * MIB <= weigh(str(folder)) < 7.5 * MIB


def test_what_has_several_names_counts_once_and_holes_do_not(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    write(folder / "input/x")
    os.link(folder / "input/x", folder / "output/y")
    (folder / "output/far").symlink_to(folder / "input/x")
    with (folder / "tmp/hole").open("wb") as file:
        file.truncate(100 * MIB)

    assert MIB <= weigh(str(folder)) < 1.5 * MIB


def test_an_empty_folder_takes_nothing_and_one_that_is_gone_neither(tmp_path: Path) -> None:
    assert weigh(str(a_folder(tmp_path))) == 0
    assert weigh(str(tmp_path / "2.1")) == 0


def test_a_large_folder_is_walked_in_pieces(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    for number in range(20):
        write(folder / f"output/{number % 3}/{number}")
    whole = weigh(str(folder))
    walk = Walk(str(folder))
    pieces = 0
    while not walk.over:
        before = walk.bytes
        walk.go(-math.inf)
        pieces += 1
        assert walk.bytes - before <= MIB + 4096

    assert pieces > 20
    assert walk.bytes == whole


# When


class Hands:
    """A crew whose only thread is the test."""

    def __init__(self) -> None:
        self.given: list[tuple[Callable[[], object], Callable[[object], None]]] = []

    def do(self, kind: str, work: Callable[[], object], then: Callable[[object], None]) -> None:
        assert kind == "sampling"
        self.given.append((work, then))

    def work(self) -> None:
        ((work, then),) = self.given
        self.given.clear()
        then(work())

    def answer(self, result: object) -> None:
        ((_, then),) = self.given
        self.given.clear()
        then(result)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def all_of_them(hands: Hands) -> Footprints:
    return Footprints(hands)  # type: ignore[arg-type]


def test_nothing_is_due_while_nothing_runs(all_of_them: Footprints, tmp_path: Path) -> None:
    assert all_of_them.due == math.inf
    all_of_them.begin("1.1", str(tmp_path), 100.0)
    assert all_of_them.due == 100.0 + FIRST
    assert all_of_them.end("1.1") == 0
    assert all_of_them.due == math.inf
    assert all_of_them.end("1.1") == 0


def test_the_peak_is_told_though_it_is_gone(all_of_them: Footprints, hands: Hands, tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    write(folder / "tmp/x", 3)
    all_of_them.begin("1.1", str(folder), time.monotonic() - 1_000)
    for _ in range(2):
        all_of_them.tick(max(all_of_them.due, time.monotonic() + 2 * SELDOM))
        hands.work()
        (folder / "tmp/x").unlink(missing_ok=True)

    assert 3 * MIB <= all_of_them.end("1.1") < 3.5 * MIB


def test_the_older_an_attempt_the_rarer_is_a_walk(all_of_them: Footprints, hands: Hands, tmp_path: Path) -> None:
    begin = now = time.monotonic()
    clock = pytest.MonkeyPatch()
    clock.setattr(time, "monotonic", lambda: now)
    try:
        all_of_them.begin("1.1", str(tmp_path), begin)
        looks: list[float] = []
        while len(looks) < 9:
            now = all_of_them.due
            looks.append(now - begin)
            all_of_them.tick(now)
            hands.work()
    finally:
        clock.undo()

    assert looks == [1, 2, 4, 8, 16, 32, 62, 92, 122]


def test_walking_takes_no_more_than_its_share_and_the_smaller_do_not_wait_for_the_largest(
    all_of_them: Footprints, hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = a_folder(tmp_path, "1.1"), a_folder(tmp_path, "2.1")
    for number in range(100):
        (large / f"tmp/{number}").write_bytes(b"x")
    write(small / "tmp/x")
    now = 1_000.0

    def tells() -> float:
        nonlocal now
        now += SLICE / 10  # so slow is this disk
        return now

    monkeypatch.setattr(time, "monotonic", tells)
    all_of_them.begin("1.1", str(large), now)
    all_of_them.begin("2.1", str(small), now + 0.001)
    begin = now
    spent = 0.0
    while all_of_them._running["2.1"].peak < MIB:
        now = max(now, all_of_them.due)
        all_of_them.tick(now)
        before = now
        hands.work()
        spent += now - before
        assert all_of_them.due >= now + (now - before - SLICE / 2) / SHARE

    assert 0 < all_of_them._running["1.1"].peak < weigh(str(large)) / 2
    assert spent < 5 * SLICE
    assert spent / (now - begin) < 0.05


def test_a_look_that_fails_is_said_and_tried_again_later(
    all_of_them: Footprints, hands: Hands, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    all_of_them.begin("1.1", str(tmp_path), time.monotonic() - 10)
    all_of_them.tick(time.monotonic())
    hands.answer(OSError(24, "Too many open files"))
    assert "Too many open files" in capsys.readouterr().err
    assert all_of_them.due > time.monotonic() + TROUBLE - 1.0


def test_what_ends_meanwhile_is_forgotten(all_of_them: Footprints, hands: Hands, tmp_path: Path) -> None:
    all_of_them.begin("1.1", str(a_folder(tmp_path)), time.monotonic() - 10)
    all_of_them.tick(time.monotonic())
    all_of_them.end("1.1")
    hands.work()
    assert all_of_them.due == math.inf
