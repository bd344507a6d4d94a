"""One stream of a task's output on its way to disk, bounded in memory always and on disk by its limits.

Little output of a short task stays in memory and travels in the end record: a silent task makes no file. The rest
is spilled: the first `head` bytes to `<path>`, past them the last `tail` bytes to a ring, `<path>.tail`, in which
the byte at offset `o` of the stream lies at `(o - head) % tail`.
"""

import os

INLINE = 64 * 1024  # bytes of one stream that may travel in the end record


class Stream:
    """The writer's side: `feed` bytes as they come, `spill` when the task is no longer short, `close` at the end."""

    __slots__ = ("_buffer", "_fd", "_head", "_path", "_ring", "_size", "_tail", "note", "stored", "total")

    def __init__(self, path: str, head: int | None, tail: int) -> None:
        """`head` None keeps everything; `tail` counts bytes past the head."""
        self._path = path
        self._head = head
        self._tail = tail
        self._size = tail
        self._buffer = b""
        self._fd = -1
        self._ring = -1
        self.total = 0
        self.stored = 0
        self.note = ""

    def resume(self) -> None:
        """Go on after what an earlier writer left in the head file; what it left of the tail is written anew."""
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        self.total = self.stored = os.fstat(self._fd).st_size

    def feed(self, data: bytes) -> int:
        """Take the next bytes; return how many at the end of them lie past the head.

        A disk that refuses ends the keeping there, said in `note`: the task goes on.
        """
        if self.total == len(self._buffer):  # nothing went to disk
            self._buffer += data
            self.total += len(data)
            if self.total > INLINE or (self._head is not None and self.total > self._head):
                return self.spill()
            return 0
        self.total += len(data)
        return self._write(data)

    def spill(self) -> int:
        """Move what is in memory to disk; later bytes go there at once. Returns as `feed`."""
        data, self._buffer = self._buffer, b""
        return self._write(data) if data else 0

    def _write(self, data: bytes) -> int:
        """Write the last `len(data)` bytes of the stream where they belong."""
        start = self.total - len(data)
        room = len(data) if self._head is None else max(0, min(len(data), self._head - start))
        try:
            if room:
                if self._fd < 0:
                    self._fd = _create(self._path)
                _write_all(self._fd, data[:room] if room < len(data) else data, start)
                self.stored = start + room
            if room < len(data) and self._tail:
                self._write_ring(data[room:], start + room)
        except OSError as error:
            self.note = f"kept to byte {self.stored} only: {error.strerror}"
            self._head, self._tail = self.stored, 0
        return len(data) - room

    def _write_ring(self, data: bytes, offset: int) -> None:
        if self._ring < 0:
            self._ring = _create(self._path + ".tail")
        if len(data) > self._tail:
            offset += len(data) - self._tail
            data = data[-self._tail :]
        assert self._head is not None
        at = (offset - self._head) % self._tail
        first = min(len(data), self._tail - at)
        _write_all(self._ring, data[:first], at)
        if first < len(data):
            _write_all(self._ring, data[first:], 0)

    def close(self) -> tuple[int, int, int, int, bytes | None, str]:
        """End the stream; the fields of `orders.Kept`."""
        for fd in (self._fd, self._ring):
            if fd >= 0:
                os.close(fd)
        if self._fd < 0 and self._ring < 0 and not self.note and self.total == len(self._buffer):
            return (self.total, self.total, self.total, 0, self._buffer, "")
        head = self.stored
        tail_start = max(head, self.total - self._tail)
        return (self.total, head, tail_start, self._size if self._ring >= 0 else 0, None, self.note)


def read_head(path: str, offset: int, size: int) -> bytes:
    """Up to `size` bytes of the head from `offset` on; b"" past what is there or when there is no file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, size, offset)
    finally:
        os.close(fd)


def read_tail(path: str, head: int, ring: int, offset: int, size: int) -> bytes:
    """Up to `size` bytes of the tail of an ended stream from `offset` of the stream on (fewer at the ring's seam)."""
    at = (offset - head) % ring
    return read_head(path + ".tail", at, min(size, ring - at))


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def _write_all(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view = view[written:]
        at += written
