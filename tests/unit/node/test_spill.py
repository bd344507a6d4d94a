import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from scitq.node.spill import INLINE, Stream, read_head, read_tail


def whole(path: Path, kept: tuple[int, int, int, int, bytes | None, str]) -> tuple[bytes, bytes]:
    """Head and tail as a reader gets them, in small steps."""
    total, head, tail_start, ring, inline, _ = kept
    if inline is not None:
        return inline, b""
    first = b""
    while piece := read_head(str(path), len(first), 7):
        first += piece
    last = b""
    while tail_start + len(last) < total:
        piece = read_tail(str(path), head, ring, tail_start + len(last), min(7, total - tail_start - len(last)))
        assert piece
        last += piece
    return first, last


@given(
    st.lists(st.binary(max_size=40), max_size=30),
    st.one_of(st.none(), st.integers(0, 60)),
    st.integers(0, 50),
    st.integers(0, 30),
)
def test_head_and_tail_are_what_was_written(
    tmp_path_factory: object, pieces: list[bytes], head: int | None, tail: int, spill_at: int
) -> None:
    path = tmp_path_factory.mktemp("spill") / "1.1.out"  # type: ignore[attr-defined]
    stream = Stream(str(path), head, tail)
    written = b""
    for n, piece in enumerate(pieces):
        before = len(written)
        written += piece
        past = stream.feed(piece)
        if n >= spill_at:
            past = max(past, stream.spill())
        if head is not None and len(written) > head:
            assert past == len(written) - max(before, head)
    kept = stream.close()
    limit = len(written) if head is None else head
    first, last = whole(path, kept)
    assert kept[0] == len(written)
    assert first == written[:limit]
    assert first[kept[1] :] == b""
    start = max(min(limit, len(written)), len(written) - tail)
    assert kept[2] == start
    assert last == written[start:]


def test_silence_makes_no_file_and_little_stays_in_memory(tmp_path: Path) -> None:
    for n, data in enumerate((b"", b"x" * INLINE)):
        stream = Stream(str(tmp_path / f"{n}.1.out"), 1 << 20, 1 << 20)
        stream.feed(data)
        assert stream.close()[4] == data
    assert not list(tmp_path.iterdir())


def test_the_disk_of_an_endless_stream_is_bounded(tmp_path: Path) -> None:
    stream = Stream(str(tmp_path / "1.1.out"), 1000, 3000)
    for _ in range(100):
        stream.feed(os.urandom(5000))
    stream.close()
    assert sorted(entry.stat().st_size for entry in tmp_path.iterdir()) == [1000, 3000]


def test_a_disk_that_refuses_ends_the_keeping_and_not_the_task(tmp_path: Path) -> None:
    stream = Stream(str(tmp_path / "gone" / "1.1.out"), None, 0)
    stream.feed(b"x" * (INLINE + 1))
    stream.feed(b"y")
    total, head, tail_start, ring, inline, note = stream.close()
    assert (total, head, tail_start, ring, inline) == (INLINE + 2, 0, INLINE + 2, 0, None)
    assert note.startswith("kept to byte 0 only: No such file")
