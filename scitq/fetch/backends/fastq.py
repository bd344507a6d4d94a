"""FASTQ files compressed: one gzip member, as every reader of them understands, made by several threads."""

import struct
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from scitq.fetch.storage import Watch

_LEVEL = 4  # of what sequencers write, a fifth of the time of 6 for 7 % more bytes
_BLOCK = 1 << 20
_WINDOW = 1 << 15  # bytes that deflate looks back
_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_END = b"\x03\x00"  # an empty last block


def compress(source: str, target: str, threads: int, watch: Watch) -> int:
    """Write a file compressed to a new one; returns how many records of four lines it has. Raises OSError."""
    lines = digest = size = 0
    before = b""
    waiting: deque[Future[bytes]] = deque()
    with (
        open(source, "rb", buffering=0) as reading,
        open(target, "xb") as writing,
        ThreadPoolExecutor(threads) as pool,
    ):
        writing.write(_HEAD)
        while block := reading.read(_BLOCK):
            watch.check()
            lines += block.count(b"\n")
            digest = zlib.crc32(block, digest)
            size += len(block)
            waiting.append(pool.submit(_deflated, block, before))
            before = block[-_WINDOW:]
            if len(waiting) > 2 * threads:
                writing.write(waiting.popleft().result())
        writing.writelines(one.result() for one in waiting)
        writing.write(_END + struct.pack("<II", digest, size & 0xFFFFFFFF))
    return lines // 4


def _deflated(block: bytes, before: bytes) -> bytes:
    """One block, ending at a byte, that refers to what stands before it."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=before)
    return deflate.compress(block) + deflate.flush(zlib.Z_SYNC_FLUSH)
