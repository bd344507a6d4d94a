"""What a keeper does with one command: how it starts, speaks, is stopped and ends."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.node.orders import AlreadyStarted, Ended, LiveOutput, Output, Refused, Returned, Started
from scitq.node.remains import Traces, boot_id, find
from tests.integration.keeping import Agent, alive, end_keepers, stopped, until


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path)
    yield agent
    for name in list(agent.pool._homes):
        agent.pool.kill(name, "over")
    for name in [event.name for event in agent.seen if isinstance(event, Ended)]:
        agent.pool.acknowledge(name)
    agent.pool.close()
    end_keepers(tmp_path)


def pids(agent: Agent, name: str, count: int) -> list[int]:
    """The numbers that the command prints first, one a line."""
    path = agent.scratch / "outbox" / f"{name}.out"
    until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count)
    return [int(line) for line in path.read_bytes().split()[:count]]


# Starting


def test_words_arrive_as_they_were_sent(agent: Agent) -> None:
    words = [b"a b", b"", b"\xff\xfe", b"$HOME", b"-x"]
    agent.run("1.1", "printf", "%s\\0", *words)
    assert agent.output(agent.end("1.1")) == b"\0".join(words) + b"\0"


def test_the_environment_is_the_order_s_and_the_mark(agent: Agent, tmp_path: Path) -> None:
    agent.run("7.2", "env", "-0", env={b"A": b"\xff=1"})
    env = agent.output(agent.end("7.2")).rstrip(b"\0").split(b"\0")
    path = b"PATH=" + os.fsencode(os.environ["PATH"])
    assert sorted(env) == [b"A=\xff=1", path, b"SCITQ_ATTEMPT=mesh/7.2"]


def test_folder_umask_stdin_and_group_are_its_own(agent: Agent, tmp_path: Path) -> None:
    script = "pwd; umask; readlink /proc/self/fd/0; ps -o pgid= -p $$ | tr -d ' '; echo $$"
    agent.shell("1.1", script, umask=0o027)
    folder, umask, stdin, group, pid = agent.output(agent.end("1.1")).decode().split()
    assert (folder, umask, stdin) == (str(tmp_path), "0027", "/dev/null")
    assert group == pid


def test_a_task_goes_first_when_memory_runs_out_and_inherits_no_descriptor(agent: Agent) -> None:
    lowered = "until [ $(cat /proc/$PPID/oom_score_adj) -lt $(cat /proc/self/oom_score_adj) ]; do :; done"
    agent.shell("1.1", f"{lowered}; cat /proc/self/oom_score_adj /proc/$PPID/oom_score_adj; ls /proc/self/fd; trap")
    task, keeper, *fds = agent.output(agent.end("1.1")).split()
    assert int(task) == min(1000, int(keeper) + 500)
    assert fds == [b"0", b"1", b"2", b"3"]  # 3: the folder that `ls` reads


def no_signal_ignored_or_blocked(agent: Agent, name: str) -> bool:
    masks = agent.output(agent.end(name)).split()[1::2]
    libc = 1 << 31 | 1 << 32  # 32 and 33 are the C library's own: its posix_spawn ignores them in the child
    return [int(mask, 16) & ~libc for mask in masks] == [0, 0]


def test_a_task_ignores_and_blocks_no_signal(agent: Agent) -> None:
    agent.run("1.1", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
    assert no_signal_ignored_or_blocked(agent, "1.1")


def test_what_cannot_start_ends_with_the_reason(agent: Agent) -> None:
    agent.run("1.1", "nosuch -x")
    end = agent.end("1.1")
    assert (end.code, end.signal) == (None, None)
    assert end.problem is not None
    assert "no program 'nosuch -x' in PATH" in end.problem
    assert "sh -c" in end.problem
    agent.run("2.1", "true", folder=b"/no/such/folder")
    assert "cannot enter the task's folder /no/such/folder" in str(agent.end("2.1").problem)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_user_owns_its_streams_and_no_group_of_ours(agent: Agent) -> None:
    folder = b"/"
    agent.shell("1.1", "id -u; id -g; id -G; echo said > /dev/stdout", uid=12345, gid=54321, folder=folder)
    assert agent.output(agent.end("1.1")).split() == [b"12345", b"54321", b"54321", b"said"]
    agent.run("2.1", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status", uid=12345, gid=1, folder=folder)
    assert no_signal_ignored_or_blocked(agent, "2.1")
    agent.run("3.1", "/root/nosuch", uid=12345, gid=1, folder=folder)
    assert agent.end("3.1").problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root may")
def test_who_is_not_root_is_told_so(agent: Agent) -> None:
    agent.run("1.1", "true", uid=12345, gid=1)
    assert "only root may" in str(agent.end("1.1").problem)


# Ending


def test_code_signal_and_use_are_told(agent: Agent) -> None:
    burn = "b'x' * (80 << 20); t = __import__('time').process_time\nwhile t() < .2: pass\nraise SystemExit(7)"
    agent.run("1.1", sys.executable, "-c", f"x = {burn}")
    end = agent.end("1.1")
    assert (end.code, end.signal, end.problem, end.oom, end.cause) == (7, None, None, False, None)
    assert end.cpu >= 0.2
    assert end.seconds >= 0.2
    assert end.max_rss is not None
    assert end.max_rss > 80 << 20
    assert end.wall_end >= end.wall_start
    agent.shell("2.1", "kill -TERM $$")
    assert (agent.end("2.1").code, agent.end("2.1").signal) == (None, 15)


def test_a_sigkill_of_a_stranger_is_no_oom(agent: Agent) -> None:
    agent.shell("1.1", "kill -KILL $$")
    assert (agent.end("1.1").signal, agent.end("1.1").oom) == (9, False)


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A cgroup that allows 64 MiB, where this machine lets us make one."""
    name = f"scitq-test-{os.getpid()}"
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root, name)
        with contextlib.suppress(OSError):
            group.mkdir()
            if (group / limit).exists():
                (group / limit).write_text(str(64 << 20))
                yield group
                group.rmdir()
                return
            group.rmdir()
    pytest.skip("no memory cgroup may be made here")


def test_an_end_for_want_of_memory_is_oom(agent: Agent, small_memory: Path) -> None:
    hog = f"{sys.executable} -c \"b'x' * (512 << 20)\""
    agent.shell("1.1", f"echo $$ > {small_memory}/cgroup.procs; exec {hog}")
    assert (agent.end("1.1").signal, agent.end("1.1").oom) == (9, True)
    agent.shell("2.1", f"(echo $BASHPID > {small_memory}/cgroup.procs; exec {hog}); exit $?")
    assert (agent.end("2.1").code, agent.end("2.1").oom) == (137, True)


def test_nothing_outlives_the_command_daemons_included(agent: Agent) -> None:
    agent.shell(
        "1.1",
        """
        sleep 60 & echo $!
        setsid sleep 60 & echo $!
        (env -i /bin/bash -c 'setsid /bin/bash -c "trap \\"\\" TERM HUP; /bin/sleep 60" & echo $!' ) &
        wait $!
        exit 4
        """,
    )
    end = agent.end("1.1")
    left = [int(pid) for pid in agent.output(end).split()]
    assert end.code == 4
    assert len(left) == 3
    assert not any(map(alive, left))


def test_kill_reaches_every_descendant_and_tells_its_cause(agent: Agent) -> None:
    agent.shell("1.1", "trap '' TERM; (setsid sleep 60 & echo $!; sleep 60 & echo $!; wait) & echo $!; wait")
    left = pids(agent, "1.1", 3)
    agent.pool.kill("1.1", "cancel")
    end = agent.end("1.1")
    assert (end.signal, end.cause, end.oom) == (9, "cancel", False)
    assert not any(map(alive, left))


def test_kill_wins_over_those_who_fork_away(agent: Agent) -> None:
    agent.shell("1.1", "echo $$; for n in $(seq 300); do setsid sleep 60 & (setsid sleep 60 &) done; wait")
    pids(agent, "1.1", 1)
    agent.pool.kill("1.1", "cancel")
    assert agent.end("1.1").signal == 9
    assert find(Traces(mark=b"mesh/1.1", boot=boot_id(), session=0)) == []


def test_terminate_asks_first_and_kills_after_its_grace(agent: Agent) -> None:
    agent.shell("1.1", "trap 'echo bye; exit 5' TERM; echo $$; while :; do sleep 0.05; done")
    pids(agent, "1.1", 1)
    agent.pool.terminate("1.1", "cancel", 30)
    assert (agent.end("1.1").code, agent.end("1.1").cause) == (5, "cancel")
    assert agent.output(agent.end("1.1")).endswith(b"bye\n")
    agent.shell("2.1", "trap '' TERM; echo $$; while :; do sleep 0.05; done")
    pids(agent, "2.1", 1)
    agent.pool.terminate("2.1", "cancel", 0.2)
    assert (agent.end("2.1").signal, agent.end("2.1").cause) == (9, "cancel")


def test_a_timeout_ends_it(agent: Agent) -> None:
    agent.run("1.1", "sleep", "60", timeout=0.2)
    end = agent.end("1.1")
    assert (end.signal, end.cause) == (15, "timeout")
    assert end.seconds >= 0.2


def test_a_limit_of_many_weeks_is_only_a_limit(agent: Agent) -> None:
    agent.run("1.1", "sleep", "0.2", timeout=1e9)
    end = agent.end("1.1")
    assert (end.code, end.cause) == (0, None)


def test_suspended_time_counts_in_no_timeout(agent: Agent) -> None:
    loop = "until [ -e go ]; do sleep 0.02; done"
    agent.shell("1.1", f"echo $$; ({loop}) & echo $!; wait; exit 6", timeout=2.0)
    main, child = pids(agent, "1.1", 2)
    agent.pool.suspend("1.1")
    agent.pool.flush()
    until(lambda: stopped(main) and stopped(child))
    with contextlib.suppress(subprocess.TimeoutExpired):  # its timeout would have passed
        subprocess.run(["sleep", "60"], timeout=2.0, check=True)
    assert not [event for event in agent.pool.events() if isinstance(event, Ended)]
    (agent.scratch / "go").touch()
    agent.pool.resume("1.1")
    end = agent.end("1.1")
    assert (end.code, end.cause) == (6, None)
    assert end.suspended >= 2.0
    assert end.seconds < 2.0


def test_a_suspended_command_can_be_killed_and_terminated(agent: Agent) -> None:
    for name, stop in (("1.1", "kill"), ("2.1", "terminate")):
        agent.shell(name, "echo $$; exec sleep 60")
        (main,) = pids(agent, name, 1)
        agent.pool.suspend(name)
        agent.pool.flush()
        until(lambda main=main: stopped(main))  # type: ignore[misc]
        if stop == "kill":
            agent.pool.kill(name, "cancel")
        else:
            agent.pool.terminate(name, "cancel", 30)
        assert agent.end(name).signal == (9 if stop == "kill" else signal.SIGTERM)


# Output


def test_silence_makes_no_file(agent: Agent) -> None:
    agent.run("1.1", "sleep", "0.3")
    end = agent.end("1.1")
    assert (end.out.inline, end.err.inline) == (b"", b"")
    assert not list((agent.scratch / "outbox").iterdir())


def test_streams_are_apart_and_binary(agent: Agent) -> None:
    agent.shell("1.1", r"printf '\0\377\n\r'; printf '\376' >&2")
    end = agent.end("1.1")
    assert (end.out.inline, end.err.inline) == (b"\0\xff\n\r", b"\xfe")


def test_output_is_told_while_it_runs(agent: Agent) -> None:
    agent.shell("1.1", "echo one; sleep 0.3; echo two; until [ -e go ]; do sleep 0.02; done; echo three")
    agent.wait(Output, "1.1", lambda event: event.out == 4)
    agent.wait(Output, "1.1", lambda event: event.out == 8)
    (agent.scratch / "go").touch()
    assert agent.output(agent.end("1.1")) == b"one\ntwo\nthree\n"


def test_much_output_keeps_head_and_tail_in_bounded_memory_and_disk(agent: Agent) -> None:
    size, head, tail = 100_000_000, 1 << 20, 3 << 20
    agent.shell(
        "1.1",
        f"seq -f %09.0f 1 {size // 10}; touch written; until [ -e go ]; do sleep 0.02; done",
        head=head,
        tail=tail,
    )
    agent.wait(LiveOutput, "1.1")
    until((agent.scratch / "written").exists)
    keeper = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()[-1]
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{keeper}/status").read_text().splitlines() if "kB" in line
    )
    assert int(status["VmHWM"].split()[0]) < 40_000
    (agent.scratch / "go").touch()
    end = agent.end("1.1")
    assert (end.out.total, end.out.head, end.out.tail_start) == (size, head, size - tail)
    data = agent.output(end)
    expected = b"".join(b"%09d\n" % n for n in range(1, head // 10 + 2))[:head]
    assert data[:head] == expected
    last = b"".join(b"%09d\n" % n for n in range(size // 10 - tail // 10, size // 10 + 1))[-tail:]
    assert data[head:] == last
    assert sum(entry.stat().st_size for entry in (agent.scratch / "outbox").iterdir()) == head + tail
    for live in (event for event in agent.seen if isinstance(event, LiveOutput)):
        assert live.offset >= head


def test_what_a_short_task_wrote_at_last_is_not_lost(agent: Agent) -> None:
    agent.run("1.1", "head", "-c", "60000", "/dev/zero")
    assert agent.end("1.1").out.inline == bytes(60000)
    agent.run("2.1", "head", "-c", "3000000", "/dev/zero")
    assert agent.output(agent.end("2.1")) == bytes(3000000)


# The queue


def test_orders_ahead_start_in_turn_and_can_be_taken_back(agent: Agent) -> None:
    agent.shell("1.1", "until [ -e go ]; do sleep 0.02; done")
    for name in ("2.1", "3.1", "4.1"):
        agent.run(name, "true")
    agent.started("1.1")
    agent.pool.take_back("3.1")
    agent.wait(Returned, "3.1")
    agent.pool.take_back("1.1")
    agent.wait(AlreadyStarted, "1.1")
    agent.pool.kill("4.1", "cancel")
    agent.wait(Returned, "4.1")
    (agent.scratch / "go").touch()
    agent.end("2.1")
    assert [event.name for event in agent.seen if isinstance(event, Started)] == ["1.1", "2.1"]
    agent.run("3.1", "true")  # returned: the same attempt may come again
    assert agent.end("3.1").code == 0


def test_the_same_attempt_never_starts_twice(agent: Agent) -> None:
    agent.run("1.1", "true")
    agent.end("1.1")
    agent.run("1.1", "true")
    assert agent.wait(Refused, "1.1").reason == "this attempt is known already"
    line = agent.pool._homes.pop("1.1")  # the keeper refuses too, whatever the agent forgot
    agent.run("1.1", "true")
    agent.wait(Refused, "1.1", lambda event: agent.seen.count(event) == 2)
    agent.pool._homes["1.1"] = line
    assert len([event for event in agent.seen if isinstance(event, Started)]) == 1


def test_a_queued_order_moves_to_a_keeper_that_idles(tmp_path: Path) -> None:
    agent = Agent(tmp_path, limit=2)
    agent.shell("1.1", "until [ -e go ]; do sleep 0.02; done")
    agent.run("2.1", "sleep", "0.3")
    for name in ("3.1", "4.1", "5.1", "6.1"):
        agent.run(name, "true")
    for name in ("2.1", "3.1", "4.1", "5.1", "6.1"):
        assert agent.end(name).code == 0
    (tmp_path / "go").touch()
    agent.end("1.1")
    for number in range(1, 7):
        agent.pool.acknowledge(f"{number}.1")
    agent.pool.limit = 1
    agent.pool.flush()
    until(lambda: [*agent.pool.events(), len(agent.pool._lines) == 1][-1])
    agent.pool.close()
    until(lambda: [path.name for path in (tmp_path / "keepers").iterdir()] == ["log"])
    assert (tmp_path / "keepers" / "log").read_text() == ""


def test_bytes_written_to_disk_are_counted(agent: Agent) -> None:
    agent.shell("1.1", "head -c 8388608 /dev/urandom > data; sync data")

    assert agent.end("1.1").written_bytes >= 8 << 20
