"""Which bytes of which task's output leave next. Pure but for reading what the keepers spilled.

Every task takes its turn, a chunk at a time, with so many bytes unacknowledged at most, each and together: a task
that writes without end slows no other. The head of a stream leaves while it grows, its tail when it has ended.
"""

from collections import deque

from scitq.model import Stream
from scitq.node import orders
from scitq.node.spill import read_head, read_tail
from scitq.wire import CHUNK_LIMIT, Chunk, LogMark, Ref, StreamName

TASK_CREDIT = 1024 * 1024  # bytes sent and not acknowledged
WORKER_CREDIT = 4 * TASK_CREDIT

SUFFIX: dict[StreamName, str] = {"stdout": "out", "stderr": "err"}


class Spilled:
    """One stream of one attempt that lies in files: how far it was written, sent and acknowledged."""

    __slots__ = ("available", "durable", "flying", "kept", "lost", "path", "refused", "sent")

    def __init__(self, path: str) -> None:
        self.path = path
        self.available = 0  # bytes in the head file
        self.kept: orders.Kept | None = None  # once it has ended
        self.sent = 0  # the next offset to send
        self.durable = 0  # the broker has everything before
        self.flying: deque[tuple[int, int]] = deque()  # end offset and size of chunks not acknowledged
        self.refused = False
        self.lost = False  # its file is not what it was

    @property
    def waits(self) -> bool:
        """Whether something is to be sent that is there to be sent."""
        if self.refused or self.lost:
            return False
        if self.kept is None:
            return self.sent < self.available
        return self.sent < self.kept.head or max(self.sent, self.kept.tail_start) < self.kept.total

    def next(self, ref: Ref, stream: StreamName) -> Chunk | None:
        """The next chunk; None when its bytes are not there, which ends the stream."""
        kept = self.kept
        offset, skip = self.sent, False
        head = self.available if kept is None else kept.head
        if offset < head:
            data = read_head(self.path, offset, min(CHUNK_LIMIT, head - offset))
        else:
            assert kept is not None
            skip = offset < kept.tail_start
            offset = max(offset, kept.tail_start)
            data = read_tail(self.path, kept.head, kept.ring, offset, min(CHUNK_LIMIT, kept.total - offset))
        if not data:
            self.lost = True
            return None
        self.sent = offset + len(data)
        self.flying.append((self.sent, len(data)))
        return Chunk(ref, stream, offset, data, skip=skip)

    def landed(self, offset: int) -> int:
        """The broker has all before `offset`; returns how many bytes no longer fly."""
        self.durable = max(self.durable, offset)
        self.sent = max(self.sent, offset)
        count = 0
        while self.flying and self.flying[0][0] <= offset:
            count += self.flying.popleft()[1]
        return count

    def rewind(self, offset: int) -> int:
        """Send again from `offset`; returns how many bytes no longer fly."""
        self.sent = offset
        count = sum(size for _, size in self.flying)
        self.flying.clear()
        return count

    def stream(self, told: Stream) -> Stream:
        """What of the stream the broker will get: `told`, unless its file is lost."""
        if not self.lost:
            return told
        return Stream(told.total, self.sent, told.total, "its file is gone from the worker's outbox")


class Shipping:
    """The streams of all attempts that spill."""

    def __init__(self, outbox: str) -> None:
        self._outbox = outbox
        self._streams: dict[str, dict[StreamName, Spilled]] = {}
        self._turns: deque[tuple[str, Ref]] = deque()  # attempts with something to send, in turn
        self._turning: set[str] = set()
        self._flying = 0
        self._flying_of: dict[str, int] = {}

    def wrote(self, name: str, ref: Ref, out: int, err: int) -> None:
        """So many bytes of the heads of an attempt's streams are in their files."""
        if out:
            self._spilled(name, "stdout").available = out
        if err:
            self._spilled(name, "stderr").available = err
        self._turn(name, ref)

    def ended(self, name: str, ref: Ref, out: orders.Kept, err: orders.Kept) -> None:
        """An attempt writes no more; streams that never spilled travel with its end."""
        if out.inline is None:
            self._spilled(name, "stdout").kept = out
        if err.inline is None:
            self._spilled(name, "stderr").kept = err
        self._turn(name, ref)

    def complete(self, name: str) -> bool:
        """Whether everything of an ended attempt was sent: its end may follow."""
        return name not in self._turning

    def lost(self, name: str) -> dict[StreamName, Spilled]:
        """The streams of an attempt whose files are gone."""
        return {stream: one for stream, one in self._streams.get(name, {}).items() if one.lost}

    @property
    def spilling(self) -> bool:
        """Whether something waits that credit allows to be sent."""
        return self._flying < WORKER_CREDIT and any(
            self._flying_of.get(name, 0) < TASK_CREDIT for name, _ in self._turns
        )

    def chunks(self, room: int) -> list[Chunk]:
        """The next chunks, about `room` bytes in all, as far as credit goes."""
        chunks: list[Chunk] = []
        idle = 0
        while self._turns and idle < len(self._turns) and room > 0 and self._flying < WORKER_CREDIT:
            name, ref = self._turns[0]
            chunk = self._next(name, ref) if self._flying_of.get(name, 0) < TASK_CREDIT else None
            if chunk is None:
                idle += 1
            else:
                idle = 0
                chunks.append(chunk)
                room -= len(chunk.data)
                self._fly(name, len(chunk.data))
            if self._turns[0][0] == name and not self._waits(name):
                self._turns.popleft()
                self._turning.discard(name)
            else:
                self._turns.rotate(-1)
        return chunks

    def landed(self, name: str, mark: LogMark) -> None:
        """The broker has this stream up to the mark."""
        if spilled := self._streams.get(name, {}).get(mark.stream):
            self._fly(name, -spilled.landed(mark.offset))

    def wanted(self, name: str, mark: LogMark) -> None:
        """The broker wants this stream again from the mark."""
        if spilled := self._streams.get(name, {}).get(mark.stream):
            self._fly(name, -spilled.rewind(mark.offset))
            self._turn(name, mark.ref)

    def refused(self, name: str, mark: LogMark) -> None:
        """The broker takes no more of this stream."""
        if spilled := self._streams.get(name, {}).get(mark.stream):
            spilled.refused = True
            self._fly(name, -spilled.rewind(spilled.sent))
            if not self._waits(name):
                self._leave(name)

    def rejoined(self, name: str, ref: Ref) -> None:
        """What flew may not have arrived: all that is not acknowledged is to be sent again."""
        for spilled in self._streams.get(name, {}).values():
            self._fly(name, -spilled.rewind(spilled.durable))
        self._turn(name, ref)

    def forget(self, name: str) -> list[str]:
        """Drop an attempt; returns the files that may be removed."""
        streams = self._streams.pop(name, None)
        if streams is None:
            return []
        self._leave(name)
        self._flying -= self._flying_of.pop(name, 0)
        return [path for one in streams.values() for path in (one.path, f"{one.path}.tail")]

    def _spilled(self, name: str, stream: StreamName) -> Spilled:
        streams = self._streams.setdefault(name, {})
        if stream not in streams:
            streams[stream] = Spilled(f"{self._outbox}/{name}.{SUFFIX[stream]}")
        return streams[stream]

    def _waits(self, name: str) -> bool:
        return any(one.waits for one in self._streams.get(name, {}).values())

    def _next(self, name: str, ref: Ref) -> Chunk | None:
        for stream, one in self._streams[name].items():
            if one.waits and (chunk := one.next(ref, stream)):
                return chunk
        return None

    def _turn(self, name: str, ref: Ref) -> None:
        if name not in self._turning and self._waits(name):
            self._turning.add(name)
            self._turns.append((name, ref))

    def _leave(self, name: str) -> None:
        if name in self._turning:
            self._turning.discard(name)
            self._turns = deque(turn for turn in self._turns if turn[0] != name)

    def _fly(self, name: str, count: int) -> None:
        self._flying += count
        self._flying_of[name] = self._flying_of.get(name, 0) + count
