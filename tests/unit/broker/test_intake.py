"""Output on its way into a real log store: what is kept of every report reads back, byte by byte."""

import random
from pathlib import Path

import pytest

from scitq import wire
from scitq.broker.commands import Peer, Reported
from scitq.broker.intake import take_in
from scitq.broker.kept import read
from scitq.broker.logs import LogStore
from scitq.broker.rules.reads import log_of
from scitq.model import Outcome, Stream
from scitq.wire import Chunk, Ref, StreamName
from tests.unit.broker.small_mesh import mesh, plain, submit

PEER = Peer(b"w1", "worker", "w1", 1)
REF = Ref(1, 1, 1)


class Mesh:
    """One running task, and the disk its output goes to."""

    def __init__(self, folder: Path) -> None:
        self.broker = mesh((1, 0))
        submit(self.broker, *plain(1))
        self.broker.settle()
        self.store = LogStore.open(folder)

    def report(self, report: wire.Report) -> wire.Ack:
        marks = take_in(self.broker.state, self.store, 1, report)
        sends = self.broker.tell(Reported(PEER, report, marks))
        self.store.write(self.store.take())
        return next((send.message for send in sends if isinstance(send.message, wire.Ack)), wire.Ack())

    def chunk(self, offset: int, data: bytes, *, skip: bool = False, stream: StreamName = "stdout") -> wire.Ack:
        return self.report(wire.Report(chunks=(Chunk(REF, stream, offset, data, skip=skip),)))

    def end(self, total: int, inline: bytes = b"") -> wire.Ack:
        outcome = Outcome(status="succeeded", exit_code=0, stdout=Stream(total, total, total))
        return self.report(wire.Report(ends=(wire.End(REF, outcome, 1.0, 2.0, inline),)))

    def read(self, offset: int = 0, limit: int = 1 << 20) -> tuple[int, bytes, int]:
        _, log, _ = log_of(self.broker.state, 1, 0, 0)
        piece = read(self.store, log, offset, limit)
        assert not piece.damage
        return piece[:3]


@pytest.fixture
def world(tmp_path: Path) -> Mesh:
    return Mesh(tmp_path / "logs")


def test_inline_output_is_kept_with_its_end(world: Mesh) -> None:
    ack = world.end(5, b"hello")
    assert ack.ends == (REF,)
    assert world.read() == (0, b"hello", 0)


def test_an_end_before_its_output_is_not_acknowledged(world: Mesh) -> None:
    ack = world.end(5)
    assert ack.ends == ()
    assert [(mark.stream, mark.offset) for mark in ack.wanted] == [("stdout", 0)]
    assert world.broker.state.status_of(1) == "assigned"


@pytest.mark.parametrize("seed", range(20))
def test_any_order_repeat_and_overlap_of_chunks_ends_in_the_same_bytes(world: Mesh, seed: int) -> None:
    chance = random.Random(seed)
    whole = chance.randbytes(1_000)
    kept = 0
    while kept < len(whole):
        offset = chance.randrange(max(kept - 100, 0), min(kept + 60, len(whole)))
        ack = world.chunk(offset, whole[offset : offset + chance.randrange(1, 200)])
        if offset > kept:
            assert ack.logs == ()
            assert [mark.offset for mark in ack.wanted] == [kept]
        for mark in ack.logs:
            assert mark.offset > kept
            kept = mark.offset
    assert world.end(len(whole)).ends == (REF,)
    assert world.read() == (0, whole, 0)
    assert world.read(990) == (990, whole[990:], 0)


@pytest.mark.parametrize("together", [True, False])
def test_head_and_tail_with_a_cut_between(world: Mesh, together: bool) -> None:
    head = [Chunk(REF, "stdout", 0, b"he"), Chunk(REF, "stdout", 2, b"ad")]
    tail = [Chunk(REF, "stdout", 90, b"the ", skip=True), Chunk(REF, "stdout", 94, b"tail")]
    if together:
        world.report(wire.Report(chunks=(*head, *tail)))
    else:
        for chunk in (*head, *tail):
            world.report(wire.Report(chunks=(chunk,)))
    assert world.end(98).ends == (REF,)
    _, log, over = log_of(world.broker.state, 1, 0, 0)
    assert (log.total, log.head, log.tail, over) == (98, 4, 90, True)
    assert world.read(0, 4) == (0, b"head", 0)
    offset, data, gap = world.read(4)
    assert (offset, data, gap) == (90, b"the tail", 86)


def test_live_bytes_and_bytes_of_others_are_not_stored(world: Mesh) -> None:
    live = Chunk(REF, "stdout", 0, b"abc", live=True)
    stale = Chunk(Ref(1, 2, 1), "stdout", 0, b"abc")
    unknown = Chunk(Ref(9, 1, 1), "stdout", 0, b"abc")
    assert take_in(world.broker.state, world.store, 1, wire.Report(chunks=(live, stale, unknown))) == ()
    assert take_in(world.broker.state, world.store, 2, wire.Report(chunks=(Chunk(REF, "stdout", 0, b"abc"),))) == ()
    assert world.store.take() == []


def test_the_two_streams_are_two(world: Mesh) -> None:
    world.chunk(0, b"out")
    world.chunk(0, b"error", stream="stderr")
    _, log, _ = log_of(world.broker.state, 1, 0, 1)
    assert read(world.store, log, 0, 100)[:3] == (0, b"error", 0)
    assert world.read() == (0, b"out", 0)


def test_the_output_of_a_deleted_task_is_released(world: Mesh) -> None:
    world.end(5, b"hello")
    pointer = log_of(world.broker.state, 1, 0, 0)[1].pointer
    world.broker.ask(wire.Delete(id=1, select=wire.Select(ids=(1,))))
    assert world.broker.state.released == [pointer]
