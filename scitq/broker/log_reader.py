"""Reading a stream: its records are chained backwards, people read forwards.

A first read walks the whole chain once, heads only, and remembers a place about every MiB, for the streams
read last. So paging through a long output walks it once, and following a growing one walks what is new.
"""

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from scitq.broker.log_records import RECORD_BYTES, Record, Stream, data_is_whole, decode_record, place_of
from scitq.errors import ScitqError

_PLACE_EVERY = 1 << 20
_PLACE_EVERY_RECORDS = 1024
_REMEMBERED = 64

# (pointer, bytes to skip, size) -> bytes; raises OSError.
Fetch = Callable[[int, int, int], bytes]
# pointer -> its place in words.
Where = Callable[[int], str]


class LogsDamaged(ScitqError):
    """A stored piece of output cannot be read; what can be, goes on at `resume`, a byte offset in the stream."""

    def __init__(self, where: str, resume: int) -> None:
        self.resume = resume
        super().__init__(f"stored output is damaged or gone: {where}; it goes on at byte {resume}")


@dataclass(slots=True)
class _Index:
    """Places in one stream, rising: where each record ends, the bytes stored up to there, its pointer."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    last: int = 0
    ends: list[int] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    pointers: list[int] = field(default_factory=list)


class LogReader:
    """Reads streams from the pointer of their last record; any thread, several at once."""

    def __init__(self, fetch: Fetch, where: Where) -> None:
        self._fetch = fetch
        self._where = where
        self._lock = threading.Lock()
        self._indexes: OrderedDict[Stream, _Index] = OrderedDict()

    def read(self, pointer: int, start: int, limit: int) -> list[tuple[int, bytes]]:
        """The stored pieces (offset, data) from byte `start` on, `limit` bytes in all at most; [] past the
        end.

        Bytes that were never stored are missing between the pieces. Raises LogsDamaged when the first is
        damaged.
        """
        newest = self._head(pointer)
        if newest is None:
            raise LogsDamaged(self._where(pointer), start)
        index = self._index_of(newest.stream, pointer)
        with index.lock:
            self._extend(index, pointer)
            at = bisect_right(index.ends, start)
            if at == len(index.ends):
                return []
            upto = bisect_left(index.stored, index.stored[at] + limit)
            last = index.pointers[min(upto, len(index.pointers) - 1)]
        wanted: list[tuple[int, Record]] = []
        for place, record in self._back(last, 0):
            if record is None:
                resume = wanted[-1][1].offset if wanted else newest.end
                if start < resume:
                    raise LogsDamaged(self._where(place), resume)
                break
            if record.end <= start:
                break
            wanted.append((place, record))
        return self._pieces(wanted, start, limit)

    def back(self, pointer: int) -> Iterator[tuple[int, Record]]:
        """The records of a stream and their pointers, last first, as far back as they can be reached."""
        for place, record in self._back(pointer, 0):
            if record is None:
                return
            yield place, record

    def _pieces(self, wanted: list[tuple[int, Record]], start: int, limit: int) -> list[tuple[int, bytes]]:
        pieces: list[tuple[int, bytes]] = []
        for place, record in reversed(wanted):
            if limit <= 0:
                break
            data = self._data(place, record)
            if data is None:
                if pieces:
                    break
                raise LogsDamaged(self._where(place), record.end)
            skip = max(0, start - record.offset)
            data = data[skip : skip + limit]
            pieces.append((record.offset + skip, data))
            limit -= len(data)
        return pieces

    def _index_of(self, stream: Stream, pointer: int) -> _Index:
        with self._lock:
            index = self._indexes.get(stream)
            if index is None or place_of(pointer) < place_of(index.last):
                index = self._indexes[stream] = _Index()
            self._indexes.move_to_end(stream)
            while len(self._indexes) > _REMEMBERED:
                self._indexes.popitem(last=False)
            return index

    def _extend(self, index: _Index, pointer: int) -> None:
        """Walk back from `pointer` to what the index knows already and note places on the way."""
        ends: list[int] = []
        pointers: list[int] = []
        sizes: list[int] = []  # bytes stored between a place and the one before it
        records = 0
        for place, record in self._back(pointer, index.last):
            if record is None:
                break
            if not ends or sizes[-1] >= _PLACE_EVERY or records >= _PLACE_EVERY_RECORDS:
                ends.append(record.end)
                pointers.append(place)
                sizes.append(0)
                records = 0
            sizes[-1] += record.length
            records += 1
        before = index.stored[-1] if index.stored else 0
        index.ends += reversed(ends)
        index.pointers += reversed(pointers)
        index.stored += [*accumulate(reversed(sizes), initial=before)][1:]
        index.last = pointer

    def _back(self, pointer: int, until: int) -> Iterator[tuple[int, Record | None]]:
        """The chain from `pointer` back to `until`, not included; None in place of a head that cannot be read."""
        stream: Stream | None = None
        while pointer != until and pointer:
            record = self._head(pointer)
            if record is None or (stream is not None and record.stream != stream):
                yield pointer, None
                return
            yield pointer, record
            stream, pointer = record.stream, record.previous

    def _head(self, pointer: int) -> Record | None:
        try:
            return decode_record(self._fetch(pointer, 0, RECORD_BYTES))
        except OSError:
            return None

    def _data(self, pointer: int, record: Record) -> bytes | None:
        try:
            data = self._fetch(pointer, RECORD_BYTES, record.length)
        except OSError:
            return None
        return data if data_is_whole(record, data) else None
