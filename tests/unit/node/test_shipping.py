from pathlib import Path

import pytest

from scitq.node import orders
from scitq.node.shipping import TASK_CREDIT, WORKER_CREDIT, Shipping
from scitq.wire import CHUNK_LIMIT, Chunk, LogMark, Ref

LOTS = 1 << 30


def ref(number: int) -> Ref:
    return Ref(number, 1, 1)


def kept(total: int, head: int | None = None, tail_start: int | None = None, ring: int = 0) -> orders.Kept:
    head = total if head is None else head
    return orders.Kept(total, head, head if tail_start is None else tail_start, ring, None, "")


SILENT = orders.Kept(0, 0, 0, 0, b"", "")


@pytest.fixture
def shipping(tmp_path: Path) -> Shipping:
    return Shipping(str(tmp_path))


def write(folder: Path, number: int, data: bytes, suffix: str = "out") -> str:
    (folder / f"{number}.1.{suffix}").write_bytes(data)
    return f"{number}.1"


def told(chunks: list[Chunk]) -> list[tuple[int, int, int]]:
    return [(chunk.ref.task, chunk.offset, len(chunk.data)) for chunk in chunks]


def test_a_growing_head_leaves_as_it_grows(shipping: Shipping, tmp_path: Path) -> None:
    name = write(tmp_path, 1, b"abcdef")
    shipping.wrote(name, ref(1), 4, 0)
    assert shipping.chunks(LOTS) == [Chunk(ref(1), "stdout", 0, b"abcd")]
    assert shipping.chunks(LOTS) == []

    shipping.wrote(name, ref(1), 6, 0)
    assert shipping.chunks(LOTS) == [Chunk(ref(1), "stdout", 4, b"ef")]


def test_the_tail_follows_over_its_gap_from_the_ring(shipping: Shipping, tmp_path: Path) -> None:
    name = write(tmp_path, 1, b"HEAD")
    # 11 bytes "HEAD" "abcdefg"; the last 5 are kept, byte o at (o - 4) % 5: f g c d e
    write(tmp_path, 1, b"fgcde", "out.tail")
    shipping.ended(name, ref(1), kept(11, 4, 6, ring=5), SILENT)

    chunks = shipping.chunks(LOTS)

    assert [(chunk.offset, chunk.data, chunk.skip) for chunk in chunks] == [
        (0, b"HEAD", False),
        (6, b"cde", True),
        (9, b"fg", False),
    ]
    assert shipping.complete(name)


def test_every_task_takes_its_turn(shipping: Shipping, tmp_path: Path) -> None:
    for number in (1, 2):
        shipping.wrote(write(tmp_path, number, bytes(3 * CHUNK_LIMIT)), ref(number), 3 * CHUNK_LIMIT, 0)

    assert [chunk.ref.task for chunk in shipping.chunks(LOTS)] == [1, 2, 1, 2, 1, 2]


def test_no_task_has_more_in_flight_than_its_credit(shipping: Shipping, tmp_path: Path) -> None:
    name = write(tmp_path, 1, bytes(3 * TASK_CREDIT))
    shipping.ended(name, ref(1), kept(3 * TASK_CREDIT), SILENT)
    small = write(tmp_path, 2, b"small")

    assert sum(len(chunk.data) for chunk in shipping.chunks(LOTS)) == TASK_CREDIT
    before = shipping.spilling
    shipping.wrote(small, ref(2), 5, 0)
    assert told(shipping.chunks(LOTS)) == [(2, 0, 5)]
    assert not shipping.complete(name)

    shipping.landed(name, LogMark(ref(1), "stdout", CHUNK_LIMIT))
    assert (before, shipping.spilling) == (False, True)
    assert told(shipping.chunks(LOTS)) == [(1, TASK_CREDIT, CHUNK_LIMIT)]


def test_all_tasks_together_keep_to_the_workers_credit(shipping: Shipping, tmp_path: Path) -> None:
    for number in range(1, 8):
        shipping.wrote(write(tmp_path, number, bytes(TASK_CREDIT)), ref(number), TASK_CREDIT, 0)

    assert sum(len(chunk.data) for chunk in shipping.chunks(LOTS)) == WORKER_CREDIT


def test_a_report_has_only_so_much_room(shipping: Shipping, tmp_path: Path) -> None:
    shipping.wrote(write(tmp_path, 1, bytes(TASK_CREDIT)), ref(1), TASK_CREDIT, 0)

    assert len(shipping.chunks(CHUNK_LIMIT + 1)) == 2
    assert len(shipping.chunks(LOTS)) == 2


def test_what_is_wanted_is_sent_again(shipping: Shipping, tmp_path: Path) -> None:
    name = write(tmp_path, 1, b"abcdef")
    shipping.ended(name, ref(1), kept(6), SILENT)
    shipping.chunks(LOTS)
    assert shipping.complete(name)

    shipping.wanted(name, LogMark(ref(1), "stdout", 2))

    assert not shipping.complete(name)
    assert shipping.chunks(LOTS) == [Chunk(ref(1), "stdout", 2, b"cdef")]


def test_a_refused_stream_leaves_the_other(shipping: Shipping, tmp_path: Path) -> None:
    name = write(tmp_path, 1, bytes(2 * TASK_CREDIT))
    write(tmp_path, 1, b"error", "err")
    shipping.ended(name, ref(1), kept(2 * TASK_CREDIT), kept(5))
    shipping.chunks(LOTS)

    shipping.refused(name, LogMark(ref(1), "stdout", 10))

    assert shipping.chunks(LOTS) == [Chunk(ref(1), "stderr", 0, b"error")]
    assert shipping.complete(name)


def test_a_new_connection_sends_what_was_not_acknowledged(shipping: Shipping, tmp_path: Path) -> None:
    name = write(tmp_path, 1, bytes(3 * CHUNK_LIMIT))
    shipping.ended(name, ref(1), kept(3 * CHUNK_LIMIT), SILENT)
    shipping.chunks(LOTS)
    shipping.landed(name, LogMark(ref(1), "stdout", CHUNK_LIMIT))

    shipping.rejoined(name, ref(1))

    assert told(shipping.chunks(LOTS)) == [(1, CHUNK_LIMIT, CHUNK_LIMIT), (1, 2 * CHUNK_LIMIT, CHUNK_LIMIT)]


def test_a_broker_that_has_more_than_we_remember_is_believed(shipping: Shipping, tmp_path: Path) -> None:
    name = write(tmp_path, 1, b"abcdef")
    shipping.wrote(name, ref(1), 3, 0)
    shipping.landed(name, LogMark(ref(1), "stdout", 5))
    shipping.wrote(name, ref(1), 6, 0)

    assert shipping.chunks(LOTS) == [Chunk(ref(1), "stdout", 5, b"f")]


def test_a_file_that_is_gone_cuts_its_stream_and_says_so(shipping: Shipping) -> None:
    shipping.ended("1.1", ref(1), kept(6), SILENT)

    assert shipping.chunks(LOTS) == []
    assert shipping.complete("1.1")
    stream = shipping.lost("1.1")["stdout"]
    assert (stream.sent, stream.lost) == (0, True)


def test_what_is_forgotten_frees_its_credit_and_names_its_files(shipping: Shipping, tmp_path: Path) -> None:
    for number in range(1, 5):
        shipping.wrote(write(tmp_path, number, bytes(TASK_CREDIT)), ref(number), TASK_CREDIT, 0)
    shipping.chunks(LOTS)
    late = write(tmp_path, 9, b"late")
    shipping.wrote(late, ref(9), 4, 0)
    assert not shipping.spilling

    assert shipping.forget("1.1") == [f"{tmp_path}/1.1.out", f"{tmp_path}/1.1.out.tail"]

    assert told(shipping.chunks(LOTS)) == [(9, 0, 4)]
