"""The MD5 of a file that is still being written, taken from the page cache right behind the writers."""

import hashlib
import os
import threading
from typing import Self

from scitq.fetch.spans import Spans
from scitq.fetch.storage import FetchError, Watch

_BLOCK = 1 << 22  # smaller ones, and the thread waits too often for its turn among those that write


class Follower:
    """Hashes the contiguous beginning of a file in a thread of its own; a context manager, which ends that thread."""

    def __init__(self, fd: int, size: int, watch: Watch) -> None:
        """`size` in bytes, -1 when it is not known yet."""
        self.waits = self.fed = 0  # how often it began to wait for more, and how often that ended
        self._fd = fd
        self._size = size
        self._watch = watch
        self._spans = Spans()
        self._news = threading.Condition()
        self._closed = self._complete = False
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._failure: OSError | FetchError | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join()

    def wrote(self, begin: int, end: int) -> None:
        """Take in that these bytes are in the file and stay as they are; thread-safe."""
        with self._news:
            front = self._spans.front
            self._spans.add(begin, end)
            if self._spans.front != front:
                self._news.notify()

    def hexdigest(self) -> str:
        """The digest of the whole file, waited for; to be called once, when all is written.

        Raises OSError when the file cannot be read, FetchError when bytes are missing, and as `Watch.check` does.
        """
        with self._news:
            self._complete = True
            self._news.notify()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._md5.hexdigest()

    def _follow(self) -> None:
        try:
            at = 0
            buffer = memoryview(bytearray(_BLOCK))
            while (front := self._wait_past(at)) > at:
                while at < front and not self._closed:
                    count = os.preadv(self._fd, [buffer[: min(_BLOCK, front - at)]], at)
                    if not count:
                        raise FetchError(f"the file was cut to {at} bytes while it was written", retry=True)
                    self._md5.update(buffer[:count])
                    at += count
                    self._watch.check()
            if self._size not in (-1, at) or at != self._spans.end:
                raise FetchError(f"{at} bytes of {self._size}", retry=True)
        except (OSError, FetchError) as error:
            self._failure = error

    def _wait_past(self, at: int) -> int:
        """The end of what is there without a gap: past `at`, or `at` itself when nothing more will come."""
        with self._news:
            if self._spans.front == at:
                self.waits += 1
                self._news.wait_for(lambda: self._closed or self._complete or self._spans.front > at)
                self.fed += 1
            return at if self._closed else self._spans.front
