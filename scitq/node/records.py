"""The keeper's record file: what it started and how that ended, readable after any death.

A record is `length, crc32` (two little-endian u32) and a msgpack array, its kind first. Each append is one write,
so a death can tear only the last record; what follows the first record that does not check is no record.

    ["begin", name, mark, boot, session, wall, spec]   before the spawn: from here on it may have started
    ["start", name, pid, ticks_low, ticks_high, wall]  spawned; its start in clock ticks since boot lies between
    ["end", name, code, ...]                           over, nothing left running; the fields of `orders.Ended`

The page cache survives the death of processes; after the death of the machine (other boot id) nothing still runs.
"""

import os
import struct
from collections.abc import Iterable
from typing import Any
from zlib import crc32

import msgpack

Record = list[Any]

_HEADER = struct.Struct("<II")
_COMPACT = 1024 * 1024  # bytes of acknowledged records that are worth writing the file anew

_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack


def encode(record: Record) -> bytes:
    """One record as it lies in the file."""
    body: bytes = _pack(record)
    return _HEADER.pack(len(body), crc32(body)) + body


def scan(data: bytes) -> tuple[list[Record], int]:
    """All records up to the first that does not check, and how many bytes those take.

    More bytes than that means a torn last record: it is to be said, and ignored.
    """
    records: list[Record] = []
    at = 0
    while at + _HEADER.size <= len(data):
        length, check = _HEADER.unpack_from(data, at)
        body = data[at + _HEADER.size : at + _HEADER.size + length]
        if len(body) != length or length == 0 or crc32(body) != check:
            break
        records.append(msgpack.unpackb(body, strict_map_key=False))
        at += _HEADER.size + length
    return records, at


class RecordFile:
    """The one writer's end of a record file, which starts empty."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = _open(path)
        self.size = 0

    def append(self, *records: Record) -> None:
        """Write the records in one call.

        Raises:
            OSError: nothing of them is in the file (disk full).
        """
        data = b"".join(map(encode, records)) if len(records) > 1 else encode(records[0])
        try:
            written = os.write(self._fd, data)
            if written != len(data):
                raise OSError(28, os.strerror(28), self._path)
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)

    @property
    def grown(self) -> bool:
        """Whether `keep` would be worth its cost while something still runs."""
        return self.size > _COMPACT

    def keep(self, live: Iterable[Record]) -> None:
        """Cut the file to these records: whole before or whole after, whenever the process dies."""
        data = b"".join(map(encode, live))
        if not data:
            os.ftruncate(self._fd, 0)
            self.size = 0
            return
        fresh = self._path + ".new"
        fd = _open(fresh)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(28, os.strerror(28), fresh)
            os.rename(fresh, self._path)
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd = fd
        self.size = len(data)


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
