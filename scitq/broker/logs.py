"""The store of task output: many small streams in few files, no index in memory.

Whoever uses it keeps one number for each stream, the pointer of its last record; the records are chained
backwards. Four hands, which never wait for each other:

- the loop calls `append`, `release` and `take`: they assign places and touch no disk;
- the sync thread calls `write` with what `take` gave, before the journal frame that names its pointers;
- readers, in any thread, call `read`: bytes that are not written yet are read from memory;
- a thread of its own calls `reclaim`, which gives back what `release` named.

After `LogsFailed` the same batch is written again, to a new file, and its pointers hold. Data that no
journalled pointer names may be lost in a crash; nothing that could be named is ever overwritten: a start goes
on after the end.

Room is given back by file: each stream holds the files it reaches over, as its pointer tells; `hold` counts
them once after replay, without a read; a file that nobody holds is removed. From a large stream that is
released, holes are punched.
"""

from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from scitq.broker.log_files import LogFiles
from scitq.broker.log_reader import LogReader
from scitq.broker.log_records import (
    POSITION_LIMIT,
    RECORD_BYTES,
    Stream,
    encode_record,
    files_of,
    make_pointer,
    place_of,
)
from scitq.errors import Unavailable

FILE_BYTES = 256 << 20
# A record is read whole to prove its checksum: this bounds what a small read costs.
_DATA_LIMIT = 1 << 20
# Below this a hole is not worth a system call.
_PUNCH_FROM = 64 << 10


class LogsFailed(Unavailable):
    """The disk refused a write or a sync of output: write the same batch again, later."""


class Run(NamedTuple):
    """Records that lie one after the other in one file: their pointers and their bytes."""

    file: int
    position: int
    pointers: list[int]
    records: list[bytes]


# What `take` hands to the thread that calls `write`.
Batch = list[Run]


class LogStore:
    """The output of all tasks of one broker; who may call what, and from where, stands above."""

    def __init__(self, folder: Path, file_bytes: int) -> None:
        assert 0 < file_bytes < POSITION_LIMIT - _DATA_LIMIT
        self._file_bytes = file_bytes
        self._files = LogFiles(folder)
        self._reader = LogReader(self._fetch, self._where)
        self._file = max(self._files.numbers(), default=1)
        self._position = self._files.end(self._file) if self._files.numbers() else 0
        self._batch: Batch = []
        self._unwritten: dict[int, bytes] = {}
        self._held: Counter[int] = Counter()
        self._counted = not self._files.numbers()
        self._dead_files: deque[int] = deque()
        self._dead_streams: deque[int] = deque()

    @classmethod
    def open(cls, folder: Path, file_bytes: int = FILE_BYTES) -> Self:
        """The store in `folder`, created when there is none; nothing that is there is changed."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(folder, file_bytes)

    def hold(self, pointers: Iterable[int]) -> None:
        """Called once, after replay, with the last pointer of every stream; files without any are dead."""
        for reach, streams in Counter(pointer >> 32 for pointer in pointers).items():
            for file in files_of(reach << 32):
                self._held[file] += streams
        self._counted = True
        self._dead_files += [file for file in self._files.numbers() if not self._held[file] and file != self._file]

    def append(self, previous: int | None, stream: Stream, offset: int, data: bytes) -> int:
        """Take `data`, which begins at byte `offset` of its stream; returns the stream's last pointer from
        now on.

        `previous` is its last pointer until now. Durable only when the batch it falls into is written.
        """
        assert self._counted, "streams are held before more is appended"
        assert data, "an empty piece of output is no piece"
        pointer = previous or 0
        for begin in range(0, len(data), _DATA_LIMIT):
            pointer = self._append(pointer, stream, offset + begin, data[begin : begin + _DATA_LIMIT])
        return pointer

    def take(self) -> Batch:
        """All that was appended since the last take, for `write`; empty when there is nothing."""
        batch, self._batch = self._batch, []
        return batch

    def write(self, batch: Batch) -> None:
        """Have a batch on disk. Raises LogsFailed: give the same batch again, and no later one before it."""
        try:
            for run in batch:
                self._files.write(run.file, run.position, b"".join(run.records))
        except OSError as error:
            raise LogsFailed(f"task output cannot be written: {error}") from None
        for run in batch:
            for pointer in run.pointers:
                del self._unwritten[pointer]

    def read(self, pointer: int, start: int, limit: int) -> list[tuple[int, bytes]]:
        """The stored pieces (offset, data) of a stream from byte `start` on, `limit` bytes in all at most.

        [] past the end; what was never stored is missing between pieces. Raises LogsDamaged, whose `resume`
        says from which byte reading goes on.
        """
        return self._reader.read(pointer, start, limit)

    def release(self, pointer: int) -> None:
        """Nobody needs the stream that ends at `pointer` any more, and the frame that says so is durable."""
        assert self._counted, "streams are held before one is released"
        self._dead_streams.append(pointer)
        for file in files_of(pointer):
            self._held[file] -= 1
            self._bury(file)

    def reclaim(self) -> None:
        """Give the disk back what was released. Raises OSError; what was not removed is at the next start."""
        dead = [self._dead_files.popleft() for _ in range(len(self._dead_files))]
        # Chains first: a removed file ends the walk back to the files that stay.
        while self._dead_streams:
            for pointer, record in self._reader.back(self._dead_streams.popleft()):
                file, position = place_of(pointer)
                if record.length >= _PUNCH_FROM and file not in dead:
                    with suppress(FileNotFoundError):
                        self._files.punch(file, position + RECORD_BYTES, record.length)
        for file in dead:
            self._files.remove(file)

    def close(self) -> None:
        """Close the file being written."""
        self._files.close()

    def _append(self, previous: int, stream: Stream, offset: int, data: bytes) -> int:
        record = encode_record(stream, offset, data, previous)
        if self._position + len(record) > self._file_bytes and self._position:
            self._file, self._position = self._file + 1, 0
            self._bury(self._file - 1)
        pointer = make_pointer(self._file, self._position, previous)
        if previous == 0 or place_of(previous)[0] != self._file:
            known = files_of(previous) if previous else ()
            self._held.update(file for file in files_of(pointer) if file not in known)
        if not self._batch or self._batch[-1].file != self._file:
            self._batch.append(Run(self._file, self._position, [], []))
        self._batch[-1].pointers.append(pointer)
        self._batch[-1].records.append(record)
        self._unwritten[pointer] = record
        self._position += len(record)
        return pointer

    def _bury(self, file: int) -> None:
        """A file that no stream holds and no append goes to any more is dead."""
        if self._held[file] <= 0 and file != self._file:
            del self._held[file]
            self._dead_files.append(file)

    def _fetch(self, pointer: int, skip: int, size: int) -> bytes:
        record = self._unwritten.get(pointer)
        if record is not None:
            return record[skip : skip + size]
        file, position = place_of(pointer)
        return self._files.read(file, position + skip, size)

    def _where(self, pointer: int) -> str:
        return self._files.where(*place_of(pointer))
