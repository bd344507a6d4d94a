import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from scitq.node import remains
from scitq.node.remains import Traces, boot_id

NOBODY = Traces(mark=b"mesh/1.1", boot=boot_id(), session=-1)  # in a pid namespace 0 is whoever came from outside


def sleeper(mark: str = "") -> Iterator[subprocess.Popen[bytes]]:
    env = {"PATH": os.environ["PATH"]} | ({"SCITQ_ATTEMPT": mark} if mark else {})
    with subprocess.Popen(["sleep", "60"], env=env, process_group=0) as process:
        yield process
        process.kill()


marked = pytest.fixture(lambda: (yield from sleeper("mesh/1.1")))
plain = pytest.fixture(lambda: (yield from sleeper()))


def alive(pid: int) -> bool:
    try:
        return remains._stat(pid)[0] != b"Z"
    except FileNotFoundError:
        return False


def ticks(pid: int) -> int:
    return int(remains._stat(pid)[19])


def test_the_mark_is_found_and_only_the_very_mark(marked: subprocess.Popen[bytes]) -> None:
    assert remains.find(NOBODY) == [marked.pid]
    assert remains.find(replace(NOBODY, mark=b"mesh/1")) == []
    assert remains.find(replace(NOBODY, mark=b"mesh/1.11")) == []


def test_another_boot_left_nothing(marked: subprocess.Popen[bytes]) -> None:
    assert remains.find(replace(NOBODY, boot="another")) == []


def test_a_pid_counts_only_with_its_start_time(plain: subprocess.Popen[bytes]) -> None:
    born = ticks(plain.pid)
    assert remains.find(replace(NOBODY, pid=plain.pid, ticks=(born - 1, born))) == [plain.pid]
    assert remains.find(replace(NOBODY, pid=plain.pid, ticks=(born - 9, born - 1))) == []


def test_the_group_counts_only_in_the_session(plain: subprocess.Popen[bytes]) -> None:
    born = ticks(plain.pid)
    found = replace(NOBODY, pid=plain.pid, ticks=(born - 9, born - 1), session=os.getsid(plain.pid))
    assert remains.find(found) == [plain.pid]
    assert remains.find(replace(found, session=1)) == []


def test_kill_ends_them_with_their_children() -> None:
    with subprocess.Popen(
        ["sh", "-c", "env -i sleep 60 & echo $!; wait"], env={"SCITQ_ATTEMPT": "mesh/2.1"}, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert remains.kill(replace(NOBODY, mark=b"mesh/2.1")) == ""
        assert parent.wait() == -9
    assert not alive(child)
