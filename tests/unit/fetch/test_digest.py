import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from scitq.fetch.digest import Follower
from scitq.fetch.storage import FetchError, Stopped, Watch

CONTENT = Random(1).randbytes(5_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    number = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    yield number
    os.close(number)


def test_what_is_written_in_any_order_has_the_digest_of_the_whole(fd: int) -> None:
    pieces = [(at, min(at + 300_000, len(CONTENT))) for at in range(0, len(CONTENT), 300_000)]
    Random(2).shuffle(pieces)

    with Follower(fd, len(CONTENT), Watch()) as follower:
        for begin, end in pieces:
            os.pwrite(fd, CONTENT[begin:end], begin)
            follower.wrote(begin, end)
        assert follower.hexdigest() == MD5


def test_a_size_need_not_be_known(fd: int) -> None:
    with Follower(fd, -1, Watch()) as follower:
        os.pwrite(fd, CONTENT, 0)
        follower.wrote(0, len(CONTENT))
        assert follower.hexdigest() == MD5


def test_nothing_is_the_digest_of_an_empty_file(fd: int) -> None:
    with Follower(fd, 0, Watch()) as follower:
        assert follower.hexdigest() == hashlib.md5(b"").hexdigest()


@pytest.mark.parametrize("ranges", [[], [(0, 4_999_999)], [(1, 5_000_000)], [(0, 5_000_000), (5_000_001, 5_000_002)]])
def test_a_gap_has_no_digest(fd: int, ranges: list[tuple[int, int]]) -> None:
    os.pwrite(fd, CONTENT, 0)
    with Follower(fd, len(CONTENT), Watch()) as follower:
        for begin, end in ranges:
            follower.wrote(begin, end)
        with pytest.raises(FetchError, match="bytes of 5000000"):
            follower.hexdigest()


def test_a_file_that_was_cut_has_no_digest(fd: int) -> None:
    with Follower(fd, 10, Watch()) as follower:
        follower.wrote(0, 10)
        with pytest.raises(FetchError, match="cut to 0 bytes"):
            follower.hexdigest()


def test_it_ends_when_the_transfer_is_stopped(fd: int) -> None:
    stop = threading.Event()
    stop.set()
    os.pwrite(fd, CONTENT, 0)
    with Follower(fd, len(CONTENT), Watch(stop)) as follower:
        follower.wrote(0, len(CONTENT))
        with pytest.raises(Stopped):
            follower.hexdigest()


def test_its_thread_ends_with_the_transfer_that_was_given_up(fd: int) -> None:
    with Follower(fd, 10, Watch()) as follower:
        pass

    assert not follower._thread.is_alive()
