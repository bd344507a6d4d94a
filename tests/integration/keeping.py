"""A stand-in for the agent: real keepers, real processes, every wait with a deadline."""

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from scitq.node.keepers import KeeperPool
from scitq.node.offspring import descendants
from scitq.node.orders import Ended, Event, Order, Started
from scitq.node.spill import read_head, read_tail

PATIENCE = 20.0
E = TypeVar("E")


class Agent:
    def __init__(self, scratch: Path, limit: int = 1) -> None:
        self.scratch = scratch
        self.pool = KeeperPool(scratch, mesh="mesh", limit=limit, linger=0.0)
        self.held = self.pool.adopt()
        self.seen: list[Event] = []

    def run(self, name: str, *words: str | bytes, **options: Any) -> None:
        env = {b"PATH": os.fsencode(os.environ["PATH"])} | options.pop("env", {})
        argv = [os.fsencode(word) for word in words]
        options.setdefault("folder", os.fsencode(self.scratch))
        self.pool.start(Order(name=name, argv=argv, env=env, **options))
        self.pool.flush()

    def shell(self, name: str, script: str, **options: Any) -> None:
        self.run(name, "bash", "-c", script, **options)

    def wait(self, kind: type[E], name: str, matching: Callable[[E], bool] = lambda _: True) -> E:
        """The first event of that kind about that attempt, past ones included."""
        deadline = time.monotonic() + PATIENCE
        looked = 0
        while True:
            for event in self.seen[looked:]:
                if isinstance(event, kind) and event.name == name and matching(event):
                    return event
            looked = len(self.seen)
            self.pool.flush()
            left = deadline - time.monotonic()
            assert left > 0, f"no {kind.__name__} of {name} among {str(self.seen)[:2000]}"
            if not self.pool.pending:
                select.select([self.pool], [], [], left)
            self.seen += self.pool.events()

    def end(self, name: str) -> Ended:
        return self.wait(Ended, name)

    def started(self, name: str) -> Started:
        return self.wait(Started, name)

    def output(self, end: Ended, stream: str = "out") -> bytes:
        """Head and tail of an ended attempt."""
        kept = end.out if stream == "out" else end.err
        if kept.inline is not None:
            return kept.inline
        path = str(self.scratch / "outbox" / f"{end.name}.{stream}")
        data = read_head(path, 0, kept.head)
        at = kept.tail_start
        while at < kept.total:
            piece = read_tail(path, kept.head, kept.ring, at, kept.total - at)
            data += piece
            at += len(piece)
        return data


def until(true: Callable[[], object]) -> None:
    """Wait for what no event announces."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"T"


def keeper_pid(pid: int) -> int:
    """The keeper of a running command: its parent."""
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


def end_keepers(scratch: Path) -> None:
    """After a test that failed: keepers wait for their agent for ever, and this one will not come back."""
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"scitq.node.keeper" in words and any(word.startswith(bytes(scratch)) for word in words):
            for pid in (int(entry.name), *descendants(int(entry.name))):
                os.kill(pid, signal.SIGKILL)
