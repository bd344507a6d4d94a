"""What is sent to a storage: a range of a file, or bytes in memory; read again from the start when need be."""

import os
from collections.abc import Callable
from typing import Any, Protocol

from scitq.fetch.storage import FetchError, Watch

_BLOCK = 1 << 20


class Body(Protocol):
    """Bytes to send; the watch counts them each time they are sent."""

    size: int

    def opened(self) -> Any:
        """All of it, to be read by blocks: `read(count)`."""

    def hashed(self, digest: Any) -> bytes:
        """What a digest of `hashlib` says of it."""


class Slice:
    """A range of a local file, read when it is sent: memory stays small, whatever its size."""

    def __init__(self, fd: int, begin: int, end: int, watch: Watch) -> None:
        self.size = end - begin
        self._fd = fd
        self._at = begin
        self._end = end
        self._watch = watch

    def opened(self) -> "_SliceReader":
        """As `Body` says."""
        return _SliceReader(self._fd, self._at, self._end, self._watch.moved)

    def hashed(self, digest: Any) -> bytes:
        """As `Body` says."""
        reader = _SliceReader(self._fd, self._at, self._end, lambda count: self._watch.check())
        while block := reader.read(_BLOCK):
            digest.update(block)
        return bytes(digest.digest())


class _SliceReader:
    def __init__(self, fd: int, at: int, end: int, tell: Callable[[int], None]) -> None:
        self._fd = fd
        self._at = at
        self._end = end
        self._tell = tell

    def read(self, count: int) -> bytes:
        block = os.pread(self._fd, min(count, self._end - self._at), self._at)
        if not block and self._at < self._end:
            raise FetchError("changed while it was read", retry=True)
        self._at += len(block)
        self._tell(len(block))
        return block


class Chunk:
    """Bytes in memory, to be sent."""

    def __init__(self, content: bytes | bytearray | memoryview, watch: Watch) -> None:
        self.size = len(content)
        self._content = memoryview(content)
        self._watch = watch

    def opened(self) -> "_ChunkReader":
        """As `Body` says."""
        return _ChunkReader(self._content, self._watch)

    def hashed(self, digest: Any) -> bytes:
        """As `Body` says."""
        digest.update(self._content)
        return bytes(digest.digest())


class _ChunkReader:
    def __init__(self, content: memoryview, watch: Watch) -> None:
        self._left = content
        self._watch = watch

    def read(self, count: int) -> memoryview:
        block, self._left = self._left[:count], self._left[count:]
        self._watch.moved(len(block))
        return block
