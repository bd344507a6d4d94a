"""One command under a keeper, from its spawn to the last of what it leaves behind."""

import math
import os
import select
import signal
import time
from typing import Any

from scitq.node.cgroups import PASSED, Cage, ran_out
from scitq.node.offspring import children, kill_all, signal_all, stop_all
from scitq.node.oom import OomKills, OomScore
from scitq.node.shield import Shield
from scitq.node.spawn import CannotStartError, spawn
from scitq.node.spill import Stream

LISTEN_AFTER = 0.005  # seconds: most tasks this young are over by then, and need no place in the poll
SPILL_AFTER = 0.1  # seconds until output goes to disk as it comes
TELL_EVERY = 0.1  # seconds between two words about output
LIVE = 256 * 1024  # bytes past the head offered to followers each time; the rest is a gap to them
TIMEOUT_GRACE = 5.0  # seconds from SIGTERM to SIGKILL after the run timeout
CHUNK = 64 * 1024
BLOCK = 512  # bytes, in which the kernel counts what a process reads and writes
HERTZ = os.sysconf("SC_CLK_TCK")

_own = os.getpid
_now = time.monotonic


class Command:
    """A running command: its pids, its two pipes, its clocks. `order` is the agent's start order as it came."""

    def __init__(
        self, order: list[Any], outbox: str, kills: OomKills, score: OomScore, shield: Shield, cage: Cage
    ) -> None:
        """Make it without starting it."""
        (_, self.name, self.argv, self.env, self.folder, self.uid, self.gid, self.umask) = order[:8]
        (self.timeout, head, tail, self._only_read, self._cgroups, self.mark, self.spec) = order[8:]
        self.wall = time.time()
        self.pid = 0
        self.ticks = (0, 0)
        self.streams = {name: Stream(f"{outbox}/{self.name}.{name}", head, tail) for name in ("out", "err")}
        self.pipes: dict[int, str] = {}
        self.live: dict[str, tuple[int, bytearray]] = {}  # by stream: offset and bytes
        self.cause: str | None = None
        self._kills = kills
        self._score = score
        self._shield = shield
        self._cage = cage
        self._kills_before = 0
        self._listening = False
        self._status: int | None = None
        self._begun = self._finished = _now()
        self._told = (0, 0)
        self._told_at = -math.inf
        self._spilling = False
        self._live_room = LIVE
        self._deadline = math.inf
        self._time_left = math.inf  # while suspended
        self._kill_at = math.inf
        self._killed = False
        self._suspended_at: float | None = None
        self._suspended = 0.0
        self._cpu = 0.0
        self._rss = 0
        self._blocks_in = 0
        self._blocks_out = 0
        self._left_alone: set[int] = set()

    # Start

    def start(self) -> None:
        """Spawn it.

        Raises:
            CannotStartError: with the reason for its user.
        """
        try:
            os.chdir(self.folder)
        except (OSError, ValueError) as error:
            folder = os.fsdecode(self.folder)
            raise CannotStartError(f"cannot enter the task's folder {folder}: {error}") from None
        self._shield.up(self._only_read)
        os.umask(self.umask)
        self.env[b"SCITQ_ATTEMPT"] = self.mark
        self._kills_before = self._kills.count()
        out, out_child = os.pipe2(os.O_CLOEXEC)
        err, err_child = os.pipe2(os.O_CLOEXEC)
        self.pipes = {out: "out", err: "err"}
        os.set_blocking(out, False)
        os.set_blocking(err, False)
        self._score.up()
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        try:
            self._cage.up(self._cgroups)
            self.pid = spawn(self.argv, self.env, out_child, err_child, self.uid, self.gid)
        except CannotStartError:
            self._close_pipes()
            raise
        except OSError as error:
            self._close_pipes()
            raise CannotStartError(f"cannot enter the cgroup of its limits: {error}") from None
        finally:
            self._cage.down()
            self._score.down()
            os.close(out_child)
            os.close(err_child)
        self._begun = _now()
        self.ticks = (int(before * HERTZ), int(time.clock_gettime(time.CLOCK_BOOTTIME) * HERTZ))
        if self.timeout is not None:
            self._deadline = self._begun + self.timeout

    # Output

    def read(self, fd: int) -> None:
        """Take what one pipe holds now."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._close_pipe(fd)
            return
        name = self.pipes[fd]
        stream = self.streams[name]
        past = stream.feed(data)
        if self._spilling:
            past = max(past, stream.spill())
        if past and self._live_room > 0:
            _, data_so_far = self.live.setdefault(name, (stream.total - past, bytearray()))
            data_so_far += data[-past:]
            self._live_room -= past

    def _drain(self) -> None:
        """Read what the dead have written; whoever else holds the pipe is not waited for."""
        for fd in list(self.pipes):
            for _ in range(1024):
                if fd not in self.pipes:
                    break
                before = self.streams[self.pipes[fd]].total
                self.read(fd)
                if fd in self.pipes and self.streams[self.pipes[fd]].total == before:
                    break
        self._close_pipes()

    def _close_pipe(self, fd: int) -> None:
        os.close(fd)  # which takes it out of the poll
        del self.pipes[fd]

    def _close_pipes(self) -> None:
        for fd in list(self.pipes):
            self._close_pipe(fd)

    @property
    def stored(self) -> tuple[int, int]:
        """Bytes of stdout and stderr in their head files."""
        return self.streams["out"].stored, self.streams["err"].stored

    def news(self, now: float) -> bool:
        """Whether there is something to say about output, and it is time to."""
        return now >= self._told_at + TELL_EVERY and (bool(self.live) or self.stored != self._told)

    def take_news(self, now: float) -> dict[str, tuple[int, bytearray]]:
        """The live bytes to say with the counts, which count as said from now on."""
        self._told = self.stored
        return self.skip_news(now)

    def skip_news(self, now: float) -> dict[str, tuple[int, bytearray]]:
        """The same while nobody listens: the counts are said later, the live bytes never."""
        live, self.live = self.live, {}
        self._live_room = LIVE
        self._told_at = now
        return live

    # Clocks

    def due(self) -> float:
        """When `tick` has something to do, by monotonic clock."""
        first = min(self._deadline, self._kill_at)
        if not self._listening:
            return min(first, self._begun + LISTEN_AFTER)
        if not self._spilling:
            first = min(first, self._begun + SPILL_AFTER)
        if self.live or self.stored != self._told:
            first = min(first, self._told_at + TELL_EVERY)
        if self._status is not None:
            first = min(first, _now() + 0.1)  # whoever resists the kill is looked at again
        return first

    def tick(self, now: float, poll: select.epoll) -> bool:
        """Do what time asks for; True when it is time for `reap` too, whatever was signalled."""
        reap = self._status is not None
        if not self._listening and now >= self._begun + LISTEN_AFTER:
            self._listening = reap = True
            for fd in self.pipes:
                poll.register(fd, select.EPOLLIN)
        if not self._spilling and now >= self._begun + SPILL_AFTER:
            self._spilling = True
            for stream in self.streams.values():
                stream.spill()
        if now >= self._kill_at:
            self.kill(self.cause or "")
        elif now >= self._deadline:
            self.terminate("timeout", TIMEOUT_GRACE)
        return reap

    # Signals

    def kill(self, cause: str) -> None:
        """SIGKILL all of it."""
        self.cause = self.cause or cause
        self._killed = True
        self._kill_at = self._deadline = math.inf
        kill_all(_own())

    def terminate(self, cause: str, grace: float) -> None:
        """SIGTERM all of it, SIGKILL after `grace` seconds."""
        self.cause = self.cause or cause
        self._deadline = self._time_left = math.inf
        self._kill_at = min(self._kill_at, _now() + grace)
        signal_all(_own(), signal.SIGTERM)
        self.resume()

    def suspend(self) -> None:
        """SIGSTOP all of it; its timeout stands still."""
        stop_all(_own())
        if self._suspended_at is None:
            self._suspended_at = _now()
            self._time_left = self._deadline - self._suspended_at
            self._deadline = math.inf

    def resume(self) -> None:
        """SIGCONT all of it."""
        if self._suspended_at is None:
            return
        now = _now()
        self._suspended += now - self._suspended_at
        self._suspended_at = None
        self._deadline = now + self._time_left
        signal_all(_own(), signal.SIGCONT)

    @property
    def suspended(self) -> bool:
        """Whether it stands still by order."""
        return self._suspended_at is not None

    # End

    def reap(self) -> bool:
        """Collect the dead; once the command itself is, kill what it left. True when nothing is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                break
            self._cpu += usage.ru_utime + usage.ru_stime
            self._rss = max(self._rss, usage.ru_maxrss)
            self._blocks_in += usage.ru_inblock
            self._blocks_out += usage.ru_oublock
            if pid == self.pid:
                self._status = status
                self._finished = _now()
        if self._status is None:
            return False
        self._left_alone.update(kill_all(_own()))
        return self._left_alone.issuperset(children(_own()))

    def end(self) -> list[Any]:
        """The end record, once `reap` said that nothing is left."""
        self._drain()
        if self._suspended_at is not None:
            self._suspended += self._finished - self._suspended_at
        code = os.waitstatus_to_exitcode(self._status or 0)
        by_kill = code in {-signal.SIGKILL, 128 + signal.SIGKILL} and not self._killed
        told = ran_out(self._cgroups, killed=by_kill)
        if told is None:
            oom = by_kill and self._kills.count(0.0) > self._kills_before
        else:
            oom, passed = told
            self.cause = self.cause or (PASSED if oom and passed else None)
        return self._record(
            code if code >= 0 else None,
            -code if code < 0 else None,
            None,
            oom,
            self._finished - self._begun - self._suspended,
            self._rss * 1024 if self._rss > _floor(self._rss) else None,
        )

    def no_start(self, problem: str) -> list[Any]:
        """The end record of a command that could not start."""
        return self._record(None, None, problem, False, 0.0, None)

    def _record(
        self,
        code: int | None,
        number: int | None,
        problem: str | None,
        oom: bool,
        seconds: float,
        rss: int | None,
    ) -> list[Any]:
        self._shield.down()
        return [
            "end",
            self.name,
            code,
            number,
            problem,
            oom,
            self.cause,
            self.wall,
            time.time(),
            seconds,
            self._suspended,
            self._cpu,
            rss,
            self.streams["out"].close(),
            self.streams["err"].close(),
            self._blocks_in * BLOCK,
            self._blocks_out * BLOCK,
        ]


_floors = [0]


def _floor(peak: int) -> int:
    """The keeper's own peak in KiB: a vforked child starts with it, below it nothing is known of the command.

    Read anew only when a command seems to have had more. (`getrusage` tells the peak of whoever started the keeper.)
    """
    if peak > _floors[0]:
        with open("/proc/self/status", "rb") as status:
            _floors[0] = next(int(line.split()[1]) for line in status if line.startswith(b"VmHWM:"))
    return _floors[0]
