"""A backup of a journal at work is a beginning of it that has all that was durable when it began."""

import itertools
import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from scitq.broker import backup as backups
from scitq.broker.backup import backup, backup_logs
from scitq.broker.compaction import fold
from scitq.broker.frames import HEADER_BYTES
from scitq.broker.log_records import Stream
from scitq.broker.logs import LogStore
from scitq.broker.segments import JournalDamaged, Source, read_chain
from tests.journal.kit import flip, last_segment, start, write


def test_a_backup_holds_whole_frames_and_no_room(tmp_path: Path) -> None:
    write(tmp_path / "live", [b"one", b"two"])
    with last_segment(tmp_path / "live").open("r+b") as file:
        file.seek(HEADER_BYTES + 2 * 31)
        file.write(b"\xf5SqF half of a frame")
    backup(tmp_path / "live", tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["00000001.journal"]
    assert (tmp_path / "copy" / "00000001.journal").stat().st_size == HEADER_BYTES + 2 * 31
    journal, bodies = start(tmp_path / "copy")
    assert (bodies, journal.notes) == ([b"one", b"two"], [])


def test_damage_is_not_copied_silently(tmp_path: Path) -> None:
    write(tmp_path / "live", [b"one", b"two"])
    flip(last_segment(tmp_path / "live"), HEADER_BYTES)
    with pytest.raises(JournalDamaged):
        backup(tmp_path / "live", tmp_path / "copy")


def test_a_destination_that_exists_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "live", [b"one"])
    (tmp_path / "copy").mkdir()
    with pytest.raises(FileExistsError):
        backup(tmp_path / "live", tmp_path / "copy")


def test_a_compaction_in_the_middle_of_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = write(tmp_path / "live", [b"%04d" % number * 100 for number in range(40)])
    real = backups._copy

    def copy(path: Path, *rest: object) -> None:
        if path.name == "00000002.journal":
            fold(tmp_path / "live", journal.sealed().upto, lambda bodies: bodies)
            journal.adopt_snapshot()
        real(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(backups, "_copy", copy)
    backup(tmp_path / "live", tmp_path / "copy")
    left = [path.name for path in (tmp_path / "live").glob("0*")]
    assert {path.name for path in (tmp_path / "copy").iterdir()} == set(left)
    assert start(tmp_path / "copy")[1] == [b"%04d" % number * 100 for number in range(40)]


def test_frames_appended_while_the_last_segment_is_read_are_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = write(tmp_path / "live", [b"one"])
    real = Source._frames_lie_behind
    later = [[b"two", b"three"], [b"four", b"five", b"six"]]

    def meanwhile(source: Source) -> bool:
        for body in later.pop(0) if later else []:
            journal.append(body)
        return real(source)

    monkeypatch.setattr(Source, "_frames_lie_behind", meanwhile)
    bodies = [frame.body for frame in read_chain(tmp_path / "live").frames()]
    assert bodies == [b"one", b"two", b"three", b"four", b"five", b"six"]


def _broker(folder: Path, told: Connection) -> None:
    """Append counted bodies, and compact, until told to end."""
    journal, _ = start(folder)
    for number in itertools.count():
        journal.append(b"%08d" % number * 20)
        if number % 200 == 199:
            fold(folder, journal.sealed().upto, lambda bodies: bodies)
            journal.adopt_snapshot()
        if number == 50:
            told.send(number)
        if told.poll():
            told.send(number)
            return


def test_copies_of_a_journal_at_work_are_beginnings_of_it(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    child = fork.Process(target=_broker, args=(tmp_path / "live", theirs))
    child.start()
    try:
        assert ours.poll(30)
        ours.recv()
        least = 51
        for turn in range(15):
            copy = tmp_path / f"copy-{turn}"
            backup(tmp_path / "live", copy)
            _, bodies = start(copy)
            assert bodies == [b"%08d" % number * 20 for number in range(len(bodies))]
            assert len(bodies) >= least
            least = len(bodies)
        ours.send("end")
        assert ours.poll(30)
    finally:
        child.kill()
        child.join(30)


def test_the_output_that_a_copied_journal_names_is_in_the_copy(tmp_path: Path) -> None:
    store = LogStore.open(tmp_path / "logs", file_bytes=10_000)
    pointers = []
    for task in range(1, 200):
        pointers.append(store.append(None, Stream(task, 1, 0), 0, b"line of %d\n" % task * 10))
        store.write(store.take())
    backup_logs(tmp_path / "logs", tmp_path / "copy")
    copied = LogStore.open(tmp_path / "copy")
    copied.hold(pointers)
    for task, pointer in enumerate(pointers, 1):
        assert copied.read(pointer, 0, 1000) == [(0, b"line of %d\n" % task * 10)]
