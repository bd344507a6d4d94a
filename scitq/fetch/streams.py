"""A source that is read ahead by a thread, and checked before its end is told."""

import hashlib
import io
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, BinaryIO

from scitq.fetch.storage import Entry, FetchError

_BLOCK = 1 << 20
_BLOCKS = 8  # read ahead


class Ahead(io.RawIOBase):
    """A stream to be read once; a context manager, which ends the thread."""

    def __init__(
        self, source: BinaryIO, entry: Entry, still: Callable[[], Entry], moved: Callable[[int], None]
    ) -> None:
        """`still` says what the source is when all is read, `moved` is told of bytes, and may raise.

        Its end raises FetchError when size, digest or version are not those that `entry` tells.
        """
        self._source = source
        self._entry = entry
        self._still = still
        self._moved = moved
        self._blocks: SimpleQueue[bytes | BaseException] = SimpleQueue()
        self._room = threading.Semaphore(_BLOCKS)
        self._left = threading.Event()
        self._rest = memoryview(b"")
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As every raw stream; the end is told as 0 only when all was as it should be."""
        if not self._rest and not self._ended:
            block = self._blocks.get()
            if isinstance(block, BaseException):
                raise block
            self._ended = not block
            self._rest = memoryview(block)
            self._room.release()
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """End the thread, which closes the source."""
        self._left.set()
        self._room.release()
        super().close()

    def _read(self) -> None:
        try:
            with self._source:
                self._read_all()
        except BaseException as error:  # noqa: BLE001 - raised where the stream is read
            self._blocks.put(error)

    def _read_all(self) -> None:
        digest = hashlib.md5(usedforsecurity=False) if self._entry.md5 else None
        # One block is held back: who knows the size may stop at the last byte, and must not have it before the check.
        count, held = 0, b""
        while block := self._source.read(_BLOCK):
            count += len(block)
            if digest is not None:
                digest.update(block)
            self._moved(len(block))
            if held:
                self._put(held)
            held = block
            if self._left.is_set():
                return
        if self._entry.size not in {-1, count}:
            raise FetchError(f"{count} bytes of {self._entry.size}", retry=True)
        if digest is not None and digest.hexdigest() != self._entry.md5:
            raise FetchError(f"its MD5 is {digest.hexdigest()}, not {self._entry.md5}", retry=True)
        if self._still().version != self._entry.version:
            raise FetchError("changed while it was read", retry=True)
        if held:
            self._put(held)
        self._put(b"")

    def _put(self, block: bytes) -> None:
        self._room.acquire()
        self._blocks.put(block)
