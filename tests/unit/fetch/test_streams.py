"""A stream is read ahead, and its last bytes are given only when all was as it should be."""

import hashlib
import io
import shutil
import threading
from typing import BinaryIO

import pytest

from scitq.fetch.storage import Entry, FetchError
from scitq.fetch.streams import Ahead

CONTENT = bytes(range(256)) * 20_000  # some blocks
MD5 = hashlib.md5(CONTENT).hexdigest()
DEADLINE = 10.0


def entry(size: int = len(CONTENT), version: str = "1", md5: str = MD5) -> Entry:
    return Entry("x", size, version, md5=md5)


def ahead(found: Entry, now: Entry | None = None, source: BinaryIO | None = None) -> Ahead:
    return Ahead(source or io.BytesIO(CONTENT), found, lambda: now or found, lambda _: None)


@pytest.mark.parametrize("found", [entry(), entry(md5=""), entry(size=-1)])
def test_what_is_as_it_was_told_is_read_whole(found: Entry) -> None:
    with ahead(found) as stream:
        assert stream.read(10) == CONTENT[:10]
        assert stream.read() == CONTENT[10:]
        assert stream.read(1) == b""


def test_bytes_are_told_as_they_come() -> None:
    counts: list[int] = []
    with Ahead(io.BytesIO(CONTENT), entry(), entry, counts.append) as stream:
        stream.read()
    assert sum(counts) == len(CONTENT)
    assert len(counts) > 1


@pytest.mark.parametrize(
    ("found", "now", "reason"),
    [
        (entry(size=len(CONTENT) + 1), None, "5120000 bytes of 5120001"),
        (entry(md5="0" * 32), None, f"its MD5 is {MD5}, not 0000"),
        (entry(), entry(version="2"), "changed while it was read"),
    ],
)
def test_what_is_not_is_never_given_to_its_last_byte(found: Entry, now: Entry | None, reason: str) -> None:
    got = io.BytesIO()
    with ahead(found, now) as stream, pytest.raises(FetchError, match=reason) as caught:
        shutil.copyfileobj(stream, got)
    assert caught.value.retry
    assert 0 < got.tell() < len(CONTENT)
    assert CONTENT.startswith(got.getvalue())


def test_a_source_that_breaks_says_so() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise FetchError("connection reset", retry=True)

    with ahead(entry(), source=Broken()) as stream, pytest.raises(FetchError, match="connection reset"):
        stream.read()


def test_whoever_leaves_ends_the_thread_and_closes_the_source() -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return bytes(1 << 20)

    before = set(threading.enumerate())
    source = Endless()
    with ahead(entry(size=-1, md5=""), source=source) as stream:  # type: ignore[arg-type]
        stream.read(10)
        (thread,) = set(threading.enumerate()) - before
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert source.closed
