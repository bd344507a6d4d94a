import math
from pathlib import Path

import pytest
from msgspec import Raw

from scitq import wire
from scitq.model import Outcome, Spec, Stream
from scitq.node import orders
from scitq.node.job import Carried, Saved
from scitq.node.outbox import COALESCE, LIVE_BYTES, REPORT_BYTES, RESEND, UNHURRIED, Outbox
from scitq.wire import Chunk, End, LogMark, Ref, Report, Started

ONE, TWO = Ref(1, 1, 1), Ref(2, 1, 1)
NOW = 100.0


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    outbox = Outbox(tmp_path / "outbox")
    outbox.now = NOW
    return outbox


def end(ref: Ref, stdout: bytes = b"", outcome: Outcome | None = None) -> End:
    return End(ref, outcome or Outcome(status="succeeded"), 1.0, 2.0, stdout)


def spill(outbox: Outbox, tmp_path: Path, data: bytes) -> orders.Kept:
    (tmp_path / "outbox" / "1.1.out").write_bytes(data)
    kept = orders.Kept(len(data), len(data), len(data), 0, None, "")
    outbox.shipping.ended("1.1", ONE, kept, orders.Kept(0, 0, 0, 0, b"", ""))
    return kept


def test_nothing_is_nothing(outbox: Outbox) -> None:
    assert outbox.due(busy=False) == math.inf
    assert list(outbox.reports()) == []


def test_an_end_leaves_at_once_or_waits_a_little_for_others(outbox: Outbox) -> None:
    outbox.end("1.1", end(ONE))

    assert outbox.due(busy=False) == NOW
    assert outbox.due(busy=True) == NOW + COALESCE


def test_an_end_says_that_its_task_started(outbox: Outbox) -> None:
    outbox.started("1.1", Started(ONE, "running", 1.0))
    outbox.started("2.1", Started(TWO, "running", 1.0))
    assert outbox.due(busy=False) == NOW + UNHURRIED
    outbox.end("1.1", end(ONE))

    assert list(outbox.reports()) == [Report(started=(Started(TWO, "running", 1.0),), ends=(end(ONE),))]


def test_an_end_is_told_again_until_it_is_acknowledged(outbox: Outbox) -> None:
    outbox.end("1.1", end(ONE))
    list(outbox.reports())
    assert list(outbox.reports()) == []
    assert outbox.due(busy=False) == NOW + RESEND

    outbox.now += RESEND
    assert list(outbox.reports()) == [Report(ends=(end(ONE),))]
    outbox.settle("1.1")
    assert outbox.due(busy=False) == math.inf


def test_an_end_waits_for_its_output(outbox: Outbox, tmp_path: Path) -> None:
    spill(outbox, tmp_path, bytes(3 * 1024 * 1024))
    outbox.end("1.1", end(ONE))

    first = list(outbox.reports())
    assert sum(len(report.ends) for report in first) == 0
    for offset in (1024 * 1024, 2 * 1024 * 1024):
        outbox.landed("1.1", LogMark(ONE, "stdout", offset))
        last = list(outbox.reports())
    assert [len(report.ends) for report in last] == [1]
    assert last[-1].chunks


def test_wanted_output_comes_before_its_end_comes_again(outbox: Outbox, tmp_path: Path) -> None:
    spill(outbox, tmp_path, b"abc")
    outbox.end("1.1", end(ONE))
    list(outbox.reports())

    outbox.wanted("1.1", LogMark(ONE, "stdout", 1))

    assert list(outbox.reports()) == [Report(chunks=(Chunk(ONE, "stdout", 1, b"bc"),), ends=(end(ONE),))]


def test_wanted_output_that_is_not_there_makes_no_haste(outbox: Outbox) -> None:
    outbox.end("1.1", end(ONE))
    list(outbox.reports())

    outbox.wanted("1.1", LogMark(ONE, "stdout", 0))

    assert list(outbox.reports()) == []
    assert outbox.due(busy=False) == NOW + RESEND


def test_output_whose_file_is_gone_is_not_promised(outbox: Outbox, tmp_path: Path) -> None:
    spill(outbox, tmp_path, b"abc")
    (tmp_path / "outbox" / "1.1.out").unlink()
    outbox.end("1.1", end(ONE, outcome=Outcome(status="succeeded", stdout=Stream(3, 3, 3))))

    told = [report.ends[0] for report in outbox.reports() if report.ends]

    assert (told[0].outcome.stdout.total, told[0].outcome.stdout.head, told[0].outcome.stdout.tail) == (3, 0, 3)
    assert "gone" in told[0].outcome.stdout.note


def test_many_ends_travel_in_several_messages(outbox: Outbox) -> None:
    for number in range(1, 101):
        outbox.end(f"{number}.1", end(Ref(number, 1, 1), bytes(60_000)))

    reports = list(outbox.reports())

    assert sum(len(report.ends) for report in reports) == 100
    assert all(len(wire.encode(report)) < 2 * REPORT_BYTES for report in reports)


def test_live_output_beyond_what_a_follower_reads_is_a_gap(outbox: Outbox) -> None:
    for offset in range(0, 3 * LIVE_BYTES, LIVE_BYTES // 2):
        outbox.live(Chunk(ONE, "stdout", offset, bytes(LIVE_BYTES // 2), live=True))

    (report,) = outbox.reports()

    assert sum(len(chunk.data) for chunk in report.chunks) == LIVE_BYTES


def test_what_hello_tells_is_not_told_again(outbox: Outbox) -> None:
    outbox.started("1.1", Started(ONE, "running", 1.0))
    outbox.returned(ONE)
    outbox.kept(ONE)
    outbox.confirm(ONE)
    outbox.end("2.1", end(TWO))

    outbox.greet()

    assert list(outbox.reports()) == [Report(ends=(end(TWO),))]


def test_a_saved_end_is_found_by_the_next_agent(outbox: Outbox, tmp_path: Path) -> None:
    saved = Saved(Carried(ONE, Raw(wire.pack_spec(Spec(command=("true",))))), end(ONE))
    outbox.save("1.1", saved)
    (tmp_path / "outbox" / "2.1.end").write_bytes(b"torn")

    found = Outbox(tmp_path / "outbox").load()

    assert [(name, one.end) for name, one in found] == [("1.1", saved.end)]
    outbox.settle("1.1")
    outbox.forget("1.1")
    assert list((tmp_path / "outbox").iterdir()) == []


def test_files_of_nobody_are_removed(outbox: Outbox, tmp_path: Path) -> None:
    for name in ("1.1.out", "1.1.out.tail", "1.1.2.err", "2.1.out", "2.1.end.new"):
        (tmp_path / "outbox" / name).touch()

    outbox.sweep({"1.1"})

    assert {path.name for path in (tmp_path / "outbox").iterdir()} == {"1.1.out", "1.1.out.tail"}
