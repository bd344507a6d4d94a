"""Output is taken apart whatever the pieces, and gone on with where it stopped."""

import random
from pathlib import Path

import pytest

from scitq.node.containers.logs import Log, Name, demultiplexed
from scitq.node.orders import Kept
from scitq.node.spill import read_head, read_tail

TOLD: list[tuple[Name, bytes]] = [
    ("out", b"first\n"),
    ("err", b"oh"),
    ("out", b""),
    ("out", b"x" * 1000),
    ("err", b"!"),
]


def framed(told: list[tuple[Name, bytes]]) -> bytes:
    return b"".join(
        bytes([1 if name == "out" else 2, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for name, data in told
    )


def joined(pieces: list[tuple[Name, bytes]]) -> dict[Name, bytes]:
    return {name: b"".join(data for each, data in pieces if each == name) for name in ("out", "err")}


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 100, 10_000])
def test_frames_come_in_any_pieces(size: int) -> None:
    whole = framed(TOLD)
    blocks = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert joined(list(demultiplexed(blocks, tty=False))) == joined(TOLD)


def test_a_terminal_is_plain() -> None:
    assert list(demultiplexed([b"\x01\x00", b"y"], tty=True)) == [("out", b"\x01\x00"), ("out", b"y")]


def kept(path: Path, stream: Name, kept: Kept) -> bytes:
    """What a broker would be sent of a stream."""
    if kept.inline is not None:
        return kept.inline
    found = b""
    while data := read_head(f"{path}.{stream}", len(found), kept.head - len(found)):
        found += data
    at = kept.tail_start
    while at < kept.total and (data := read_tail(f"{path}.{stream}", kept.head, kept.ring, at, kept.total - at)):
        found += data
        at += len(data)
    return found


@pytest.mark.parametrize(("head", "tail"), [(None, 0), (500, 300), (0, 100), (5000, 0)])
@pytest.mark.parametrize("seed", range(5))
def test_an_agent_after_a_death_goes_on_by_bytes_per_stream(
    tmp_path: Path, head: int | None, tail: int, seed: int
) -> None:
    chance = random.Random(seed)
    told: list[tuple[Name, bytes]] = [
        (chance.choice(("out", "err")), chance.randbytes(chance.randrange(200))) for _ in range(40)
    ]
    path = tmp_path / "1.1"
    log = Log(str(path), head, tail, again=False)
    for _ in range(4):
        log.from_the_start()
        for name, data in told[: chance.randrange(len(told))]:
            log.feed(name, data)
            if chance.random() < 0.3:
                log.news()
        if chance.random() < 0.5:
            log = Log(str(path), head, tail, again=True)  # the agent died
    log.from_the_start()
    for name, data in told:
        log.feed(name, data)
    for stream, end in zip(("out", "err"), log.close(), strict=True):
        whole = joined(told)[stream]  # type: ignore[index]
        size = len(whole) if head is None else head
        expected = whole if end.inline is not None else whole[:size] + whole[max(size, len(whole) - tail) :]
        assert end.total == len(whole)
        assert kept(path, stream, end) == expected  # type: ignore[arg-type]


def test_what_was_told_before_is_no_news(tmp_path: Path) -> None:
    log = Log(f"{tmp_path}/1.1", None, 0, again=False)
    assert log.feed("out", b"abc")
    log.from_the_start()
    assert not log.feed("out", b"ab")
    assert log.feed("out", b"cd")
    assert log.news()[:2] == (4, 0)


def test_after_the_end_nothing_more_is_written(tmp_path: Path) -> None:
    log = Log(f"{tmp_path}/1.1", None, 0, again=False)
    log.feed("out", b"abc")
    assert log.close()[0].inline == b"abc"
    log.news()
    assert not list(tmp_path.iterdir())
