import hashlib
import threading
from pathlib import Path

import pytest

from scitq.fetch import pieces
from scitq.fetch.digest import Follower
from scitq.fetch.storage import Entry, FetchError, Watch

CONTENT = bytes(range(256)) * 64
RANGE = 1 << 10
DEADLINE = 10.0


class Memory:
    """A source that remembers who asked for what; its second to fifth range come once `together` threads ask."""

    def __init__(self, together: int = 1) -> None:
        self.asked: list[tuple[int, threading.Thread]] = []
        self._together = threading.Barrier(together)

    def open(self, begin: int, end: int) -> "MemoryPiece":
        self.asked.append((begin, threading.current_thread()))
        return MemoryPiece(CONTENT[begin:end], self._together if 0 < begin < 5 * RANGE else threading.Barrier(1))

    def unchanged(self) -> None:
        pass


class MemoryPiece:
    whole = False

    def __init__(self, content: bytes, together: threading.Barrier) -> None:
        self._left = content
        self._together = together

    def into(self, view: memoryview) -> int:
        self._together.wait(DEADLINE)
        block, self._left = self._left[: len(view)], self._left[len(view) :]
        view[: len(block)] = block
        return len(block)

    def close(self) -> None:
        pass


class Busy(Follower):
    """A digest that is told to have waited for nothing but the beginning."""

    waits = fed = property(lambda self: 1, lambda self, value: None)


ENTRY = Entry("a", len(CONTENT), "etag:1", md5=hashlib.md5(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "LARGE", 1)
    monkeypatch.setattr(pieces, "_SMALLEST", RANGE)
    monkeypatch.setattr(pieces, "_LARGEST", RANGE)


def test_one_connection_is_enough_for_a_digest_that_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "Follower", Busy)
    source = Memory()

    moved = pieces.bring(source, ENTRY, str(tmp_path / "a"), Watch(), connections=4, tries=1)

    assert moved == len(CONTENT)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert sorted(begin for begin, _ in source.asked) == list(range(0, len(CONTENT), RANGE))
    assert {thread for _, thread in source.asked} == {threading.current_thread()}


def test_all_connections_bring_what_a_digest_waits_for(tmp_path: Path) -> None:
    source = Memory(together=4)

    pieces.bring(source, ENTRY, str(tmp_path / "a"), Watch(), connections=4, tries=1)

    assert (tmp_path / "a").read_bytes() == CONTENT


def test_the_others_go_on_when_the_connection_that_fed_the_digest_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "Follower", Busy)

    class Lost(MemoryPiece):
        def into(self, view: memoryview) -> int:
            raise FetchError("lost", retry=True)

    class OnlyElsewhere(Memory):
        def open(self, begin: int, end: int) -> MemoryPiece:
            piece = super().open(begin, end)
            lost = begin > 0 and threading.current_thread() is caller
            return Lost(b"", threading.Barrier(1)) if lost else piece

    caller = threading.current_thread()
    pieces.bring(OnlyElsewhere(), ENTRY, str(tmp_path / "a"), Watch(), connections=4, tries=1)

    assert (tmp_path / "a").read_bytes() == CONTENT
