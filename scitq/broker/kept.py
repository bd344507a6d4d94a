"""The kept bytes of one stream, as they are told to whoever asks: past what was cut, and past what is damaged."""

from typing import NamedTuple

from scitq.broker.events import Log
from scitq.broker.log_reader import LogsDamaged
from scitq.broker.logs import LogStore


class Piece(NamedTuple):
    """Kept bytes: where they begin, how many before them are missing, and where the store is damaged, if it is."""

    offset: int
    data: bytes
    gap: int
    damage: str


def read(store: LogStore, log: Log, offset: int, limit: int) -> Piece:
    """The next kept bytes from `offset` on; none at the end of what there is."""
    start, damage = offset, ""
    while log.pointer is not None:
        start = max(start, log.tail) if log.head <= start < log.tail else start
        if start >= log.total:
            break
        try:
            pieces = store.read(log.pointer, start, limit)
        except LogsDamaged as problem:
            damage = damage or str(problem)
            if problem.resume <= start:
                break
            start = problem.resume
            continue
        if not pieces:
            break
        return _joined(pieces, offset, damage)
    return Piece(offset, b"", 0, damage)


def _joined(pieces: list[tuple[int, bytes]], asked: int, damage: str) -> Piece:
    """The first of these, and what follows it without a gap."""
    first, data = pieces[0]
    joined = [data]
    following = first + len(data)
    for place, more in pieces[1:]:
        if place != following:
            break
        joined.append(more)
        following += len(more)
    return Piece(first, b"".join(joined), first - asked, damage)
