import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.fetch import Stopped, TimedOut
from scitq.node.disk import TRANSFERS, Disk, NoRoom, Spare, occupied
from tests.e2e.disks import small_disk
from tests.integration.mesh import until

MIB = 1 << 20


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, "10m") as disk:
        yield disk


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def fill(path: Path, size: int) -> Path:
    path.write_bytes(b"x" * size)
    return path


def spare(path: Path, at: float) -> Spare:
    def remove() -> int:
        size = occupied(str(path.parent)) if path.exists() else 0
        path.unlink(missing_ok=True)
        return size

    return Spare(at, remove)


def test_all_downloads_together_are_held_to_the_room(scratch: Path, stop: threading.Event) -> None:
    disk = Disk(scratch)
    disk.reserve("a", f"{scratch}/a", 6 * MIB, stop)

    with pytest.raises(TimedOut):
        disk.reserve("b", f"{scratch}/b", 6 * MIB, stop, until=0.0)
    disk.came("a")

    disk.reserve("b", f"{scratch}/b", 6 * MIB, stop)


def test_what_has_come_is_not_counted_twice(scratch: Path, stop: threading.Event) -> None:
    disk = Disk(scratch)
    (scratch / "a").mkdir()
    disk.reserve("a", f"{scratch}/a", 5 * MIB, stop)
    fill(scratch / "a/file", 5 * MIB)

    disk.reserve("b", f"{scratch}/b", 4 * MIB, stop)


def test_what_an_earlier_try_brought_is_not_asked_for_again(scratch: Path, stop: threading.Event) -> None:
    disk = Disk(scratch)
    (scratch / "a").mkdir()
    fill(scratch / "a/file", 6 * MIB)

    disk.reserve("a", f"{scratch}/a", 8 * MIB, stop)
    disk.reserve("b", f"{scratch}/b", MIB, stop)
    with pytest.raises(TimedOut):
        disk.reserve("c", f"{scratch}/c", 2 * MIB, stop, until=0.0)


def test_what_can_never_fit_is_refused_at_once_with_the_sizes(scratch: Path, stop: threading.Event) -> None:
    disk = Disk(scratch)
    disk.enter("1.1")

    (scratch / "spare").mkdir()
    fill(scratch / "spare/x", MIB // 100)
    disk.offer(lambda: [spare(scratch / "spare/x", 1)])

    with pytest.raises(NoRoom, match=r"it needs 20\.0 MiB, and of the 10\.0 MiB .* 9\.9 MiB are free"):
        disk.reserve("a", f"{scratch}/a", 20 * MIB, stop)
    assert (scratch / "spare/x").exists(), "nothing goes for it"


def test_it_waits_for_a_task_that_holds_room_and_is_refused_when_there_is_none(
    scratch: Path, stop: threading.Event
) -> None:
    disk = Disk(scratch)
    held = fill(scratch / "held", 6 * MIB)
    disk.enter("1.1")
    granted, told = threading.Event(), threading.Event()
    waits: list[str] = []

    def tell(what: str) -> None:
        waits.append(what)
        told.set()

    def wait() -> None:
        disk.reserve("a", f"{scratch}/a", 6 * MIB, stop, waits=tell)
        granted.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert told.wait(30)
    assert waits[0].startswith("waits for room: it needs 6.0 MiB, ")
    assert not granted.is_set()
    held.unlink()
    disk.leave("1.1")

    assert granted.wait(30)
    waiting.join()
    disk.came("a")
    fill(scratch / "others", 6 * MIB)
    with pytest.raises(NoRoom):
        disk.reserve("b", f"{scratch}/b", 6 * MIB, stop)


def test_the_longest_unused_goes_first_and_no_more_than_is_needed(scratch: Path, stop: threading.Event) -> None:
    disk = Disk(scratch)
    for name in ("old", "older", "new"):
        (scratch / name).mkdir()
        fill(scratch / name / "x", 2 * MIB)
    disk.offer(lambda: [spare(scratch / "old/x", 2), spare(scratch / "new/x", 3)])
    disk.offer(lambda: [spare(scratch / "older/x", 1)])

    disk.reserve("a", f"{scratch}/a", 6 * MIB, stop)

    assert [name for name in ("older", "old", "new") if (scratch / name / "x").exists()] == ["new"]


def test_who_came_first_is_served_first(scratch: Path, stop: threading.Event) -> None:
    disk = Disk(scratch)
    disk.reserve("a", f"{scratch}/a", 6 * MIB, stop)
    order: list[str] = []

    def wait(name: str, size: int) -> None:
        disk.reserve(name, f"{scratch}/{name}", size, stop)
        order.append(name)

    threads = []
    for name, size in (("large", 8 * MIB), ("small", MIB)):
        threads.append(threading.Thread(target=wait, args=(name, size)))
        threads[-1].start()
        until(lambda: len(disk._queue) == len(threads), "it waits")
    disk.came("a")
    for thread in threads:
        thread.join(30)

    assert order == ["large", "small"]


def test_a_stop_ends_the_wait(scratch: Path, stop: threading.Event) -> None:
    disk = Disk(scratch)
    disk.reserve("a", f"{scratch}/a", 9 * MIB, stop)
    stop.set()

    with pytest.raises(Stopped):
        disk.reserve("b", f"{scratch}/b", 9 * MIB, stop)


def claim(disk: Disk, scratch: Path, name: str, size: int, until: float = 30.0) -> None:
    disk.claim(name, (f"{scratch}/{name}/input", f"{scratch}/{name}/tmp"), size, threading.Event(), until)


def test_room_that_a_task_asked_for_is_its_own_until_its_command_is_over(
    scratch: Path, stop: threading.Event
) -> None:
    disk = Disk(scratch)
    claim(disk, scratch, "1.1", 6 * MIB, float("inf"))
    disk.enter("1.1")

    with pytest.raises(TimedOut):
        disk.reserve("b", f"{scratch}/b", 6 * MIB, stop, until=0.0)
    disk.came("1.1")

    disk.reserve("b", f"{scratch}/b", 6 * MIB, stop)


def test_what_the_task_has_written_is_counted_off_and_resources_are_not(scratch: Path, stop: threading.Event) -> None:
    disk = Disk(scratch)
    for part in ("input", "tmp", "resource"):
        (scratch / "1.1" / part).mkdir(parents=True)
    claim(disk, scratch, "1.1", 6 * MIB, float("inf"))
    fill(scratch / "1.1/input/x", 2 * MIB)
    fill(scratch / "1.1/tmp/x", 2 * MIB)

    disk.reserve("b", f"{scratch}/b", 3 * MIB, stop)
    with pytest.raises(TimedOut):
        disk.reserve("c", f"{scratch}/c", 2 * MIB, stop, until=0.0)
    disk.came("b")
    fill(scratch / "1.1/resource/x", 2 * MIB)
    with pytest.raises(TimedOut):
        disk.reserve("c", f"{scratch}/c", 3 * MIB, stop, until=0.0)


def test_tasks_with_room_of_their_own_take_no_turns_of_downloads(scratch: Path, stop: threading.Event) -> None:
    disk = Disk(scratch)
    for number in range(TRANSFERS + 1):
        claim(disk, scratch, f"{number}.1", MIB // 4, float("inf"))

    disk.reserve("b", f"{scratch}/b", MIB, stop, until=0.0)


def test_room_is_held_for_who_had_it_before_a_restart_and_comes_back_when_it_leaves(
    scratch: Path, stop: threading.Event
) -> None:
    disk = Disk(scratch)
    disk.hold("1.1", (f"{scratch}/1.1/tmp",), 6 * MIB)
    with pytest.raises(TimedOut):
        disk.reserve("b", f"{scratch}/b", 6 * MIB, stop, until=0.0)

    disk.leave("1.1")

    disk.reserve("b", f"{scratch}/b", 6 * MIB, stop)


def test_who_could_never_have_its_room_is_told_before_anything_comes(scratch: Path) -> None:
    disk = Disk(scratch)
    disk.check(9 * MIB)

    with pytest.raises(NoRoom, match=r"it needs 11\.0 MiB, and of the 10\.0 MiB"):
        disk.check(11 * MIB)


def test_the_most_that_a_task_could_have_is_what_is_left_and_what_lies_here(scratch: Path) -> None:
    disk = Disk(scratch)
    before = disk.most()
    (scratch / "kept").mkdir()
    fill(scratch / "kept/x", 4 * MIB)

    assert 9 * MIB < before < 10 * MIB
    assert abs(disk.most() - before) < MIB // 8


def test_a_disk_that_others_filled_is_relieved(scratch: Path) -> None:
    disk = Disk(scratch)
    (scratch / "spare").mkdir()
    fill(scratch / "spare/x", 2 * MIB)
    fill(scratch / "others", 8 * MIB - MIB // 8)
    disk.offer(lambda: [spare(scratch / "spare/x", 1)])
    assert disk.is_low

    disk.relieve()

    assert not disk.is_low


def test_what_has_several_names_takes_its_room_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    fill(tmp_path / "a/x", 100_000)
    before = occupied(str(tmp_path))
    (tmp_path / "b").mkdir()
    os.link(tmp_path / "a/x", tmp_path / "b/y")

    assert before >= 100_000
    assert occupied(str(tmp_path)) < before + 50_000
