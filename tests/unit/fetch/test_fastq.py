"""FASTQ files compressed by several threads: one member, every byte, every record counted."""

import gzip
import random
import subprocess
import threading
import zlib
from pathlib import Path

import pytest

from scitq.fetch.backends.fastq import compress
from scitq.fetch.storage import Stopped, Watch


def fastq(records: int) -> bytes:
    chosen = random.Random(7)
    lines = (f"@R.{i}\n{''.join(chosen.choices('ACGT', k=90))}\n+\n{'F' * 90}\n" for i in range(records))
    return "".join(lines).encode()


@pytest.mark.parametrize("records", [0, 1, 30_000])
def test_what_comes_out_again_is_what_went_in(tmp_path: Path, records: int) -> None:
    content = fastq(records)
    (tmp_path / "a").write_bytes(content)

    assert compress(str(tmp_path / "a"), str(tmp_path / "a.gz"), 3, Watch()) == records

    packed = (tmp_path / "a.gz").read_bytes()
    assert gzip.decompress(packed) == content
    subprocess.run(["gzip", "--test", tmp_path / "a.gz"], check=True)


def test_it_is_one_member(tmp_path: Path) -> None:
    """Some readers stop at the end of the first."""
    (tmp_path / "a").write_bytes(content := fastq(30_000))

    compress(str(tmp_path / "a"), str(tmp_path / "a.gz"), 2, Watch())

    reading = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert reading.decompress((tmp_path / "a.gz").read_bytes()) == content
    assert reading.eof
    assert not reading.unused_data


def test_it_ends_when_it_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(fastq(1))
    stop = threading.Event()
    stop.set()

    with pytest.raises(Stopped):
        compress(str(tmp_path / "a"), str(tmp_path / "a.gz"), 1, Watch(stop))
