"""What the agent knows of a container that the engine does not: a small file each, for the agent after this one."""

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

import msgspec
from msgspec import Struct


class Record(Struct, array_like=True):
    """One attempt. `phase` is `starting` from before the engine is asked to start it, and `started` once it is seen.

    `boot` is the machine's; `instance` is the engine that started it, where that can be told. Times are UTC seconds.
    """

    name: str
    spec: bytes
    timeout: float | None
    head: int | None
    tail: int
    boot: str
    phase: Literal["ordered", "starting", "started"] = "ordered"
    wall: float = 0.0
    pid: int = 0
    ticks: int = 0
    instance: str = ""
    problem: str = ""  # why it never started
    cause: str | None = None
    suspended_at: float | None = None
    suspended: float = 0.0


class Records:
    """The files of one pool."""

    def __init__(self, folder: str) -> None:
        """`folder` is made if need be."""
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._folder = folder

    def save(self, record: Record) -> None:
        """Write it, whole or not at all."""
        path = f"{self._folder}/{record.name}"
        with open(f"{path}.new", "wb") as file:
            file.write(msgspec.msgpack.encode(record))
        os.rename(f"{path}.new", path)

    def forget(self, name: str) -> None:
        """Remove it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._folder}/{name}")

    def load(self) -> Iterator[Record]:
        """All that an earlier agent left; what was never whole is removed."""
        for name in sorted(os.listdir(self._folder)):
            try:
                with open(f"{self._folder}/{name}", "rb") as file:
                    record = _decode(file.read())
            except (OSError, msgspec.DecodeError):
                self.forget(name)
                continue
            if record.name == name:
                yield record
            else:
                self.forget(name)


_decode = msgspec.msgpack.Decoder(Record).decode
