import hashlib
import threading
from pathlib import Path

import pytest

from scitq.fetch import pieces
from scitq.fetch.digest import Follower
from scitq.fetch.storage import Entry, Watch

CONTENT = bytes(range(256)) * 64
RANGE = 1 << 10


class Memory:
    """A source that remembers who asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, threading.Thread]] = []

    def open(self, begin: int, end: int) -> "MemoryPiece":
        self.asked.append((begin, threading.current_thread()))
        return MemoryPiece(CONTENT[begin:end])

    def unchanged(self) -> None:
        pass


class MemoryPiece:
    whole = False

    def __init__(self, content: bytes) -> None:
        self._left = content

    def into(self, view: memoryview) -> int:
        block, self._left = self._left[: len(view)], self._left[len(view) :]
        view[: len(block)] = block
        return len(block)

    def close(self) -> None:
        pass


class Stuck(Follower):
    """A digest that is told to have come nowhere, while all is on its way."""

    done = property(lambda self: 0, lambda self, value: None)


def test_only_one_connection_runs_far_ahead_of_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "LARGE", 1)
    monkeypatch.setattr(pieces, "_SMALLEST", RANGE)
    monkeypatch.setattr(pieces, "_LARGEST", RANGE)
    monkeypatch.setattr(pieces, "_FAR", 2 * RANGE)
    monkeypatch.setattr(pieces, "Follower", Stuck)
    source = Memory()
    entry = Entry("a", len(CONTENT), "etag:1", md5=hashlib.md5(CONTENT).hexdigest())

    moved = pieces.bring(source, entry, str(tmp_path / "a"), Watch(), connections=4, tries=1)

    assert moved == len(CONTENT)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert sorted(begin for begin, _ in source.asked) == list(range(0, len(CONTENT), RANGE))
    assert {thread for begin, thread in source.asked if begin > 2 * RANGE} == {threading.current_thread()}
