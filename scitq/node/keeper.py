"""The keeper: a small process that starts commands one after the other, outlives the agent, and knows how they ended.

    python -m scitq.node.keeper NUMBER FOLDER OUTBOX LISTEN_FD LOCK_FD LINGER

It listens on `FOLDER/NUMBER.sock` (made by the agent, handed over with the held lock `NUMBER.lock`: the lock is free
when the keeper is dead) and records in `FOLDER/NUMBER.records`. Both directions are plain msgpack arrays one after
the other; the newest agent to connect is the one listened to, after all that its predecessor said.

    agent   start name argv env folder uid gid umask timeout head tail only_read cgroups mark spec | back name
            kill name cause | terminate name cause grace | suspend name | resume name | ack name | exit
    keeper  hello version held | start ... and end ... (the records) | output name out err
            live name stream offset bytes | returned name | already name | refused name reason

Few imports: it starts in a blink and every worker has several.
"""

import contextlib
import ctypes
import math
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from scitq.node.cgroups import Cage
from scitq.node.command import Command
from scitq.node.offspring import reap_strays
from scitq.node.oom import OomKills, OomScore
from scitq.node.reception import Reception
from scitq.node.records import Record, RecordFile
from scitq.node.shield import Shield
from scitq.node.spawn import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 2  # of what both say; a keeper of another one finishes what it has, and is ordered nothing more
TALKATIVE = 256 * 1024  # bytes an agent may leave unread before it hears no more about output
RETRY = 1.0  # seconds until an end that the disk refused is written again
FORSAKEN = 1.0  # seconds at least between two looks whether an agent could still find it
LONGEST_WAIT = 3600.0  # seconds: epoll refuses what is past 24 days

_PR_SET_CHILD_SUBREAPER = 36
_SFD_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK

_now = time.monotonic


class Keeper:
    """The loop, the connection, the queue and the records."""

    def __init__(self, number: int, folder: str, outbox: str, listener: int, linger: float) -> None:
        self._paths = [f"{folder}/{number}.{end}" for end in ("sock", "records", "lock")]
        self._outbox = outbox
        self._linger = linger
        self._records = RecordFile(self._paths[1])
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            self._boot = file.read().strip()
        self._session = os.getsid(0)
        self._kills = OomKills()
        self._score = OomScore()
        self._shield = Shield()
        self._cage = Cage()

        self._queue: dict[str, list[Any]] = {}
        self._current: Command | None = None
        self._begin: Record = []
        self._start: Record = []
        self._ended: dict[str, tuple[Record, Record]] = {}  # begin and end, until acknowledged
        self._recorded: set[str] = set()
        self._unwritten: Record | None = None
        self._retry_at = math.inf
        self._idle_since = _now()
        self._leaving = False

        self._child_fd = _child_signals()
        self._poll = select.epoll()
        self._poll.register(self._child_fd, select.EPOLLIN)
        self._agent = Reception(listener, self._poll, self._hello, self._carry_out)
        self._orders: dict[str, Callable[[list[Any]], None]] = {
            "start": self._order_start,
            "back": self._order_back,
            "kill": self._order_kill,
            "terminate": self._order_terminate,
            "suspend": self._order_suspend,
            "resume": self._order_resume,
            "ack": self._order_ack,
            "exit": self._order_exit,
        }

    # The loop

    def run(self) -> None:
        """Serve until there is nothing left to keep and nobody to serve."""
        self._agent.accept()
        while not self._over():
            if self._is_forsaken():
                return  # and what may lie there, on a disk that is away, stays for the next agent
            due = self._due()
            self._wait(None if due == math.inf else min(max(0.0, due - _now()), LONGEST_WAIT))
            now = _now()
            if self._current is not None:
                if self._current.tick(now, self._poll):
                    self._reap()
                self._tell_output(now)
            if now >= self._retry_at:
                self._write_end()
            while self._current is None and self._queue and self._unwritten is None and not self._cage.stuck:
                self._start_next()
            self._rest()
            if (due := self._agent.due()) < math.inf and (not self._queue or now >= due):
                self._agent.send()
        for path in self._paths:  # the lock last: until then the number is taken
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue

    def _over(self) -> bool:
        if self._current is not None or self._queue or self._ended or self._unwritten is not None:
            return False
        return self._leaving or (self._agent.alone and _now() >= self._leave_at())

    def _is_forsaken(self) -> bool:
        """Whether what it keeps is for nobody: its folder was removed, and no agent can find it there."""
        waits = self._agent.alone and self._current is None and not self._queue and self._unwritten is None
        return waits and _now() >= self._leave_at() and not os.path.lexists(self._paths[0])

    def _due(self) -> float:
        due = min(self._retry_at, self._agent.due())
        if self._current is not None:
            due = min(due, self._current.due())
        elif self._agent.alone and self._unwritten is None:
            leave_at = self._leave_at()
            due = min(due, max(leave_at, _now() + max(self._linger, FORSAKEN)) if self._ended else leave_at)
        return due

    def _leave_at(self) -> float:
        return max(self._agent.alone_since, self._idle_since) + self._linger

    def _wait(self, timeout: float | None) -> None:
        for fd, mask in self._poll.poll(timeout):
            if fd == self._child_fd:
                os.read(fd, 4096)
                self._reap()
            elif self._agent.serve(fd, mask):
                continue
            elif self._current is not None and fd in self._current.pipes:
                self._current.read(fd)

    def _rest(self) -> None:
        """When nothing runs and all is acknowledged the records are cut, and no folder is held."""
        if self._current is not None or self._queue or self._unwritten is not None:
            return
        if self._records.size and not self._ended:
            self._cut()
            os.chdir("/")
            self._idle_since = _now()

    # Work

    def _start_next(self) -> None:
        name = next(iter(self._queue))
        order = self._queue.pop(name)
        command = Command(order, self._outbox, self._kills, self._score, self._shield, self._cage)
        if self._records.grown:
            self._cut()
        self._begin = ["begin", name, command.mark, self._boot, self._session, command.wall, command.spec]
        try:
            self._records.append(self._begin)
        except OSError as error:
            self._agent.say(["refused", name, f"the start cannot be recorded: {error.strerror}"])
            return
        self._recorded.add(name)
        self._current = command
        try:
            command.start()
        except CannotStartError as problem:
            self._finish(command.no_start(str(problem)))
            return
        self._start = ["start", name, command.pid, *command.ticks, command.wall]
        try:
            self._records.append(self._start)
        except OSError as error:
            _log(f"{name}: the pid is not recorded: {error}")  # `begin` and the environment find it
        self._agent.say(self._start)

    def _reap(self) -> None:
        if self._current is None:
            reap_strays()
        elif self._current.reap():
            self._finish(self._current.end())

    def _finish(self, end: Record) -> None:
        self._current = None
        self._unwritten = end
        self._write_end()

    def _write_end(self) -> None:
        """Record first, tell then; what the disk refuses is tried again, and nothing starts meanwhile."""
        end = self._unwritten
        assert end is not None
        try:
            self._records.append(end)
        except OSError as error:
            if self._retry_at == math.inf:
                _log(f"{end[1]}: the end is not recorded yet: {error}")
            self._retry_at = _now() + RETRY
            return
        self._unwritten = None
        self._retry_at = math.inf
        self._ended[end[1]] = (self._begin, end)
        self._agent.say(end)

    def _cut(self) -> None:
        try:
            self._records.keep(record for pair in self._ended.values() for record in pair)
        except OSError as error:
            _log(f"the records are not cut: {error}")
            return
        self._recorded = set(self._ended)

    # Orders

    def _carry_out(self, order: list[Any]) -> None:
        if (known := self._orders.get(order[0])) is None:
            _log(f"the agent's order {order[0]!r} is not known here")
        else:
            known(order)

    def _order_start(self, order: list[Any]) -> None:
        name = order[1]
        if name in self._queue or name in self._recorded:
            self._agent.say(["refused", name, "this attempt is known already"])
        else:
            self._queue[name] = order

    def _order_back(self, order: list[Any]) -> None:
        answer = "already" if self._queue.pop(order[1], None) is None else "returned"
        self._agent.say([answer, order[1]])

    def _order_kill(self, order: list[Any]) -> None:
        if command := self._running(order[1]):
            command.kill(order[2])

    def _order_terminate(self, order: list[Any]) -> None:
        if command := self._running(order[1]):
            command.terminate(order[2], order[3])

    def _running(self, name: str) -> Command | None:
        """The command if it runs; one that is queued is given back instead."""
        if self._queue.pop(name, None) is not None:
            self._agent.say(["returned", name])
        return self._current if self._current is not None and self._current.name == name else None

    def _order_suspend(self, order: list[Any]) -> None:
        if self._current is not None and self._current.name == order[1]:
            self._current.suspend()

    def _order_resume(self, order: list[Any]) -> None:
        if self._current is not None and self._current.name == order[1]:
            self._current.resume()

    def _order_ack(self, order: list[Any]) -> None:
        self._ended.pop(order[1], None)

    def _order_exit(self, order: list[Any]) -> None:
        self._leaving = True

    # Talk

    def _tell_output(self, now: float) -> None:
        command = self._current
        if command is None or not command.news(now):
            return
        if self._agent.unread > TALKATIVE:
            command.skip_news(now)
            return
        live = command.take_news(now)
        self._agent.say(["output", command.name, *command.stored])
        for stream, (offset, data) in live.items():
            self._agent.say(["live", command.name, stream, offset, data])

    def _hello(self) -> Record:
        return ["hello", VERSION, self._held()]

    def _held(self) -> list[list[Any]]:
        """All that the agent may have forgotten: state, name, spec, suspended, out, err, start, end."""
        held: list[list[Any]] = []
        for name, (begin, end) in self._ended.items():
            held.append(["ended", name, begin[-1], False, 0, 0, None, end])
        if (command := self._current) is not None:
            suspended, stored = command.suspended, command.stored
            held.append(["running", command.name, command.spec, suspended, *stored, self._start, None])
        elif self._unwritten is not None:  # over, but nobody may know yet
            begin, start = self._begin, self._start
            held.append(["running", begin[1], begin[-1], False, 0, 0, start, None])
        for name, order in self._queue.items():
            held.append(["queued", name, order[-1], False, 0, 0, None, None])
        return held


def _child_signals() -> int:
    """A descriptor that is readable when a child has ended: no handler runs, no system call is interrupted."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    mask = (1 << (signal.SIGCHLD - 1)).to_bytes(8, sys.byteorder).ljust(128, b"\0")
    fd: int = ctypes.CDLL(None, use_errno=True).signalfd(-1, mask, _SFD_CLOEXEC_NONBLOCK)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "signalfd")
    return fd


def _log(text: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):  # a full disk is what most lines are about
        os.write(2, f"{stamp} keeper {os.getpid()}: {text}\n".encode())


def main(words: list[str]) -> None:
    """Become a keeper; the words are those of the module's first line."""
    number, folder, outbox, listener, lock, linger = words
    os.set_inheritable(int(listener), False)
    os.set_inheritable(int(lock), False)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.chdir("/")
    Keeper(int(number), folder, outbox, int(listener), float(linger)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
