"""What running attempts use, looked at now and then: the peak of a whole tree of processes at one moment.

The kernel tells a keeper only what its largest process had, and nothing of what was never waited for. One look at
/proc serves all attempts. It is taken by a thread of the crew: the kernel may make whoever asks for shared memory
wait for a process that hangs.
"""

import math
import os
import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from scitq.node.say import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scitq.node.crew import Crew

YOUNG = 60.0  # seconds in which an attempt is sampled OFTEN
OFTEN = 1.0  # seconds
SELDOM = 10.0
SHARE = 0.01  # of a core that looking may take: where it is slow it is done less often
TROUBLE = 60.0  # seconds without a look after one that failed
FAR_APART = 1.1  # the sum of a tree to its largest process, from which on pages that they share are looked into

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Root(NamedTuple):
    """The first process of an attempt: `ticks` bound its start, in clock ticks since boot.

    `kept`: its parent is a keeper, whatever else that has below it is of the attempt too.
    """

    pid: int
    ticks: tuple[int, int]
    kept: bool = True


class Use(NamedTuple):
    """What an attempt used, as far as it was seen.

    Bytes of memory that its tree had at one moment, processor seconds that it had taken, bytes that it had read from
    disks and written to files of disks, bytes of the disk that its folder had.
    """

    memory: int = 0
    cpu: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0
    disk: int = 0


class Process(NamedTuple):
    """A line of /proc/PID/stat: `cpu` in clock ticks, that of children waited for included; sizes in bytes."""

    name: str
    pid: int
    parent: int
    session: int
    cpu: int
    start: int
    size: int  # of its addresses
    memory: int

    def borrows(self, parent: "Process | None", now: int) -> bool:
        """Whether it seems to be forked just now, `now` in ticks: its memory is its parent's.

        The kernel counts what vfork lends for both, and cannot tell that it is the same.
        """
        if parent is None or now > self.start + _TICKS or self.size != parent.size:
            return False
        return abs(self.memory - parent.memory) < parent.memory / 64


class Sampler:
    """`begin` and `end` bound an attempt, `tick` looks when it is `due`; nothing is due while nothing runs."""

    def __init__(self, crew: "Crew") -> None:
        self.due = math.inf  # by monotonic clock
        self._crew = crew
        self._roots: dict[str, Root] = {}
        self._peaks: dict[str, Use] = {}
        self._begun: dict[str, float] = {}
        self._next: dict[str, float] = {}
        self._closely: set[str] = set()  # these are sampled OFTEN however old they are
        self._rest_until = -math.inf
        self._looking = False

    def begin(self, name: str, root: Root, now: float, *, closely: bool = False) -> None:
        """It runs, or is found running; `closely`: it is to be looked at as often as ever."""
        if closely:
            self._closely.add(name)
        self._roots[name] = root
        self._peaks[name] = Use()
        self._begun[name] = now
        self._next[name] = now + OFTEN
        if not self._looking:
            self.due = min(self.due, max(now + OFTEN, self._rest_until))

    def end(self, name: str) -> Use:
        """The most that was seen of it, which is forgotten."""
        self._roots.pop(name, None)
        self._begun.pop(name, None)
        self._closely.discard(name)
        self._next.pop(name, None)
        if not self._roots:
            self.due = math.inf
        return self._peaks.pop(name, Use())

    def used(self, name: str) -> Use:
        """The most that was seen of it so far."""
        return self._peaks.get(name, Use())

    def tick(self, now: float) -> None:
        """Have those looked at whose time has come, and those who would be next by themselves."""
        if now < self.due:
            return
        chosen = {}
        if min(self._next.values()) <= now:
            for name, begun in self._begun.items():
                every = OFTEN if now < begun + YOUNG or name in self._closely else SELDOM
                if self._next[name] <= now + every / 2:
                    self._next[name] = now + every
                    chosen[name] = (self._roots[name], self._peaks[name].memory)
        if chosen:
            self._looking = True
            self.due = math.inf
            self._crew.do("sampling", lambda: _timed_look(chosen), self._looked)
        else:
            self.due = min(self._next.values())

    def _looked(self, result: object) -> None:
        self._looking = False
        now = time.monotonic()
        if isinstance(result, tuple):
            used, seconds = result
            self._rest_until = now + seconds / SHARE
            for name, use in used.items():
                if name in self._peaks:  # else it has ended meanwhile
                    self._peaks[name] = Use(*map(max, self._peaks[name], use))
        else:
            say(f"what tasks use cannot be sampled now: {result}")
            self._rest_until = now + TROUBLE
        self.due = max(min(self._next.values(), default=math.inf), self._rest_until)


def look(roots: "Mapping[str, tuple[Root, int]]") -> dict[str, Use]:
    """What the trees of these attempts use now; of each the root, and the peak so far in bytes.

    A tree is all that its keeper has below it, in a container all that descends from its first process. It is left
    out when its root is gone, and so is whoever else may have got its number.
    """
    now = int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)
    known = processes()
    children: defaultdict[int, list[Process]] = defaultdict(list)
    for process in known.values():
        children[process.parent].append(process)
    found = {}
    for name, (root, peak) in roots.items():
        first = known.get(root.pid)
        if first is None or not root.ticks[0] <= first.start <= root.ticks[1]:
            continue
        if root.kept and first.parent != first.session:
            continue  # a keeper leads the session of what it starts: any other parent is not the keeper, but gone
        tree = list(children[first.parent]) if root.kept else [first]
        for process in tree:
            tree += children[process.pid]  # the list grows while it is walked
        own = [process for process in tree if not process.borrows(known.get(process.parent), now)]
        memory = _memory(own, peak)
        if not root.kept:  # nobody tells at its end what its largest process had
            memory = max([memory, *map(_most, own)])
        done = [io(process.pid) for process in tree]
        found[name] = Use(
            memory=memory,
            cpu=sum(process.cpu for process in tree) / _TICKS,
            read_bytes=sum(read for read, _ in done),
            written_bytes=sum(written for _, written in done),
        )
    return found


def processes() -> dict[int, Process]:
    """All that run on this machine, as far as this user may see them."""
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {one.pid: one for one in found if one is not None}


def process(pid: int) -> Process | None:
    """One of them, None when it is gone."""
    line = _read(f"/proc/{pid}/stat")
    if not line:
        return None
    begin, end = line.index(b"(") + 1, line.rindex(b")")  # the name between may hold anything
    fields = line[end + 2 :].split()
    return Process(
        name=line[begin:end].decode(errors="replace"),
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        cpu=sum(map(int, fields[11:15])),
        start=int(fields[19]),
        size=int(fields[20]),
        memory=int(fields[21]) * _PAGE,
    )


def io(pid: int) -> tuple[int, int]:
    """Bytes that a process, and whom it waited for, had read from disks and written to files of disks; else zeros.

    What was written counts when it was, though the disk may have it later, or never when the file is removed first.
    """
    counts = dict(line.split(b": ") for line in _read(f"/proc/{pid}/io").splitlines())
    return int(counts.get(b"read_bytes", 0)), int(counts.get(b"write_bytes", 0))


def _memory(tree: list[Process], peak: int) -> int:
    """Bytes that a tree holds: between its largest process and their sum, which counts shared pages for each.

    Where these are far apart the kernel is asked for shares, which costs time by the gigabyte: not below `peak`.
    """
    total = sum(process.memory for process in tree)
    largest = max((process.memory for process in tree), default=0)
    if total <= max(peak, largest * FAR_APART):
        return total
    return sum(_share(process) for process in tree)


def _share(process: Process) -> int:
    """The memory of a process, each page divided by how many processes have it; whole where it may not be seen."""
    for line in _read(f"/proc/{process.pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return process.memory


def _most(process: Process) -> int:
    """The most memory that a process ever had."""
    for line in _read(f"/proc/{process.pid}/status").splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) * 1024
    return process.memory


def _timed_look(roots: "Mapping[str, tuple[Root, int]]") -> tuple[dict[str, Use], float]:
    begin = time.thread_time()
    return look(roots), time.thread_time() - begin


def _read(path: str) -> bytes:
    """The first bytes of a file of /proc, none when its process is gone or not for this user to see."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
    try:
        return os.read(file, 4096)
    except (ProcessLookupError, PermissionError):
        return b""
    finally:
        os.close(file)
