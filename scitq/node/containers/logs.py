"""The output of a container on its way to the outbox: followed as it comes, and gone on with by bytes per stream.

The engine tells a log from its first byte on, however often it is asked. What is here already is passed over.
"""

import threading
from collections.abc import Iterable, Iterator
from typing import Literal

from scitq.node.orders import Kept
from scitq.node.spill import Stream

Name = Literal["out", "err"]
LIVE = 256 * 1024  # bytes past the head offered to followers each time; the rest is a gap to them
_NAMES: dict[int, Name] = {0: "out", 1: "out", 2: "err"}
_HEADER = 8


class Log:
    """Both streams of one container; fed by its thread, asked for news by the agent's."""

    def __init__(self, path: str, head: int | None, tail: int, *, again: bool) -> None:
        """`path` without its ending; `again`: files of an earlier agent may lie there."""
        self._guard = threading.Lock()
        self._streams: dict[Name, Stream] = {
            "out": Stream(f"{path}.out", head, tail),
            "err": Stream(f"{path}.err", head, tail),
        }
        self._pass_over: dict[Name, int] = {"out": 0, "err": 0}
        self._live: dict[Name, tuple[int, bytearray]] = {}
        self._live_room = LIVE
        self._spills = again
        self._closed = False
        if again:
            for stream in self._streams.values():
                stream.resume()

    @property
    def stored(self) -> tuple[int, int]:
        """Bytes of stdout and stderr in their head files."""
        return self._streams["out"].stored, self._streams["err"].stored

    def from_the_start(self) -> None:
        """The next bytes fed are the first of each stream again."""
        self._pass_over = {name: stream.total for name, stream in self._streams.items()}

    def feed(self, name: Name, data: bytes) -> bool:
        """Take the next bytes of a stream; whether any of them are new."""
        known = min(self._pass_over[name], len(data))
        if known:
            self._pass_over[name] -= known
            data = data[known:]
        if not data:
            return False
        with self._guard:
            stream = self._streams[name]
            past = stream.feed(data)
            if self._spills:
                past = max(past, stream.spill())
            if past and self._live_room > 0:
                _, waiting = self._live.setdefault(name, (stream.total - past, bytearray()))
                waiting += data[-past:]
                self._live_room -= past
        return True

    def news(self) -> tuple[int, int, dict[Name, tuple[int, bytearray]]]:
        """Bytes in the head files, with what was still in memory, and the live bytes since the last time."""
        with self._guard:
            if self._closed:
                return (*self.stored, {})
            self._spills = True
            for stream in self._streams.values():
                stream.spill()
            live, self._live, self._live_room = self._live, {}, LIVE
            return (*self.stored, live)

    def close(self) -> tuple[Kept, Kept]:
        """End both streams: what is left of each."""
        with self._guard:
            self._closed = True
            return Kept(*self._streams["out"].close()), Kept(*self._streams["err"].close())


def demultiplexed(blocks: Iterable[bytes], *, tty: bool) -> Iterator[tuple[Name, bytes]]:
    """The pieces of output in what the engine sends: frames of a header each, or with a tty one plain stream."""
    if tty:
        for block in blocks:
            yield "out", block
        return
    buffer = bytearray()
    left, name = 0, _NAMES[1]
    for block in blocks:
        buffer += block
        while buffer:
            if left == 0:
                if len(buffer) < _HEADER:
                    break
                name = _NAMES.get(buffer[0], "out")
                left = int.from_bytes(buffer[4:_HEADER], "big")
                del buffer[:_HEADER]
                continue
            piece = bytes(buffer[:left])
            del buffer[: len(piece)]
            left -= len(piece)
            yield name, piece
