"""One file brought by its ranges, over as many connections as help, whatever the protocol."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing, nullcontext
from io import BufferedReader, RawIOBase
from typing import Any, BinaryIO, Protocol, cast

from scitq.fetch.digest import Follower
from scitq.fetch.partial import Partial
from scitq.fetch.retries import patiently
from scitq.fetch.storage import Entry, FetchError, Watch

LARGE = 64 << 20  # bytes; more than one connection is worth its beginning from here on

_BUFFER = 1 << 20
_SMALLEST, _LARGEST = 16 << 20, 64 << 20  # of a range, when there are several
_LOOK_S = 0.01  # between two looks at the digest


class Piece(Protocol):
    """Bytes of the source that are on their way."""

    whole: bool  # the source sends all from its first byte on, whatever range was asked for

    def into(self, view: memoryview) -> int:
        """Fill the beginning of a view; returns how much, 0 at the end. Raises FetchError."""

    def close(self) -> None:
        """End it, all read or not."""


class Source(Protocol):
    """A file that can be asked for by ranges, by several threads; it tries once."""

    def open(self, begin: int, end: int) -> Piece:
        """Ask for a range; `end` -1: all that follows. Raises FetchError."""

    def unchanged(self) -> None:
        """Called when all has come. Raises FetchError when it is of a file that has changed meanwhile."""


def bring(source: Source, entry: Entry, target: str, watch: Watch, *, connections: int, tries: int) -> int:
    """Bring a file to its place, or what is missing of it, verified; returns the bytes that moved.

    `tries`: for each range. Raises OSError, and FetchError without the address.
    """
    # Of a file that only its size tells from another, nothing can be resumed but what is verified at the end.
    version = "" if entry.version.startswith("size:") and not entry.md5 else entry.version
    with Partial(target, version, entry.size) as partial:
        following = Follower(partial.fd, entry.size, watch) if entry.md5 else nullcontext()
        with following as follower:
            if follower is not None:
                for begin, end in partial.here():
                    follower.wrote(begin, end)
            crew = _Crew(source, partial, follower, watch, tries)
            crew.work(connections if entry.size >= LARGE else 1)
            source.unchanged()
            if follower is not None and (found := follower.hexdigest()) != entry.md5.lower():
                partial.discard()
                raise FetchError(f"its MD5 is {found}, it should be {entry.md5}", retry=True)
        partial.finish(entry.modified)
    return crew.moved


def stream(source: Source, size: int, watch: Watch, tries: int) -> BinaryIO:
    """The content, to be read once; a connection that breaks is made again where it broke.

    Reading raises FetchError; `size` -1 when it is not known.
    """
    return cast("BinaryIO", BufferedReader(_Stream(source, size, watch, tries), _BUFFER))


class _Range:
    """What is still to come of a range."""

    def __init__(self, at: int, end: int) -> None:
        self.at = at
        self.end = end


class _Crew:
    """The threads that bring the ranges of one file; the caller's is the first of them."""

    def __init__(self, source: Source, partial: Partial, follower: Follower | None, watch: Watch, tries: int) -> None:
        self.moved = 0
        self._source = source
        self._partial = partial
        self._follower = follower
        self._watch = watch
        self._tries = tries
        self._todo: deque[_Range] = deque()
        self._guard = threading.Lock()
        self._failure: BaseException | None = None
        self._leading = True  # whether the caller's thread is at work

    def work(self, connections: int) -> None:
        size = self._partial.size
        block = max(size, 1)
        if connections > 1:
            block = min(max(size // (4 * connections), _SMALLEST), _LARGEST)
        self._todo.extend(_Range(begin, end) for begin, end in self._partial.missing(block))
        waiting = [
            threading.Thread(target=self._help, daemon=True) for _ in range(min(connections, len(self._todo)) - 1)
        ]
        helping: list[threading.Thread] = []

        def start() -> None:
            """Begin with the others, once the source has shown that it answers ranges."""
            while waiting:
                waiting[-1].start()
                helping.append(waiting.pop())

        try:
            while self._todo:
                self._leading = True
                while (part := self._take()) is not None:
                    helped = any(helper.is_alive() for helper in helping)
                    try:
                        self._bring(part, self._tries, start)
                    except FetchError as error:
                        # A helper may have held the only connection that is allowed: once more when they are done.
                        if not error.retry or not helped:
                            raise
                        self._todo.appendleft(part)
                        break
                self._leading = False
                for helper in helping:
                    helper.join()  # one that gave up has put its range back
            self._raise_failure()
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            for helper in helping:
                helper.join()

    def _help(self) -> None:
        proven = False
        fed = 1  # before anything has come nobody knows whether more than one connection is of use
        try:
            while (part := self._take_wanted(fed)) is not None:
                fed = self._follower.fed if self._follower is not None else 0
                try:
                    self._bring(part, self._tries if proven else 1, None)
                except FetchError as error:
                    # A source may allow fewer connections than we would like: the others go on.
                    if proven or not error.retry:
                        raise
                    self._todo.appendleft(part)
                    return
                proven = True
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller's thread raises it
            self._fail(error)

    def _take(self) -> _Range | None:
        self._raise_failure()
        try:
            return self._todo.popleft()
        except IndexError:
            return None

    def _take_wanted(self, fed: int) -> _Range | None:
        """The next range, once the digest has waited since it was fed so often, or nobody else brings anything.

        While it never waits, the caller's connection is enough; others would take the processor from it.
        """
        while self._follower is not None and self._todo and self._leading and self._follower.waits <= fed:
            self._raise_failure()
            self._watch.check()
            time.sleep(_LOOK_S)
        return self._take()

    def _bring(self, part: _Range, tries: int, start: Callable[[], None] | None) -> None:
        def once() -> None:
            if self._partial.size < 0:
                part.at = 0  # nothing tells that what follows belongs to what came
            with closing(self._source.open(part.at, part.end)) as piece:
                if piece.whole:
                    part.at, part.end = 0, self._partial.size
                    self._todo.clear()
                elif start is not None:
                    start()
                self._pour(piece, part)
            if part.at < part.end:
                raise FetchError(f"the connection ended {part.end - part.at} bytes early", retry=True)

        patiently(once, self._watch, tries)

    def _pour(self, piece: Piece, part: _Range) -> None:
        """Write what comes."""
        buffer = memoryview(bytearray(_BUFFER if part.end < 0 else min(_BUFFER, part.end - part.at)))
        held = 0
        flushed = time.monotonic()
        more = True
        try:
            while more and part.at + held != part.end:
                room = len(buffer) - held
                if part.end >= 0:
                    room = min(room, part.end - part.at - held)
                count = piece.into(buffer[held : held + room])
                held += count
                more = count > 0
                if held >= _BUFFER // 2 or time.monotonic() - flushed > 1:
                    part.at += self._write(buffer[:held], part.at)
                    held = 0
                    flushed = time.monotonic()
        finally:
            part.at += self._write(buffer[:held], part.at)

    def _write(self, view: memoryview, at: int) -> int:
        self._raise_failure()
        count = 0
        while count < len(view):
            count += os.pwrite(self._partial.fd, view[count:], at + count)
        self._partial.wrote(at, at + count)
        if self._follower is not None:
            self._follower.wrote(at, at + count)
        with self._guard:
            self.moved += count
        self._watch.moved(count)
        return count

    def _fail(self, error: BaseException) -> None:
        with self._guard:
            self._failure = self._failure or error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


class _Stream(RawIOBase):
    def __init__(self, source: Source, size: int, watch: Watch, tries: int) -> None:
        self._source = source
        self._size = size
        self._watch = watch
        self._tries = tries
        self._at = 0
        self._piece: Piece | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        return patiently(lambda: self._read(view), self._watch, self._tries)

    def close(self) -> None:
        self._drop()
        super().close()

    def _read(self, view: memoryview) -> int:
        if self._at == self._size:
            return 0
        try:
            if self._piece is None:
                self._piece = self._source.open(self._at, self._size)
                if self._piece.whole:
                    self._skip(self._piece, view)
            count = self._piece.into(view)
            if not count and self._at < self._size:
                raise FetchError(f"the connection ended {self._size - self._at} bytes early", retry=True)
        except FetchError:
            self._drop()
            raise
        self._at += count
        self._watch.moved(count)
        return count

    def _skip(self, piece: Piece, view: memoryview) -> None:
        """Read away what was read before the connection broke: this source sends all or nothing."""
        left = self._at
        while left:
            count = piece.into(view[:left])
            if not count:
                raise FetchError(f"the connection ended {left} bytes early", retry=True)
            left -= count
            self._watch.check()

    def _drop(self) -> None:
        if self._piece is not None:
            self._piece.close()
            self._piece = None
