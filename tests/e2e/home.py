"""A user's home, empty but for `scitq` on the PATH: its local mesh is started, killed and stopped as a user would."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scitq.client import Client
from scitq.config import Server, local_paths
from scitq.shell.mesh import Part, broker_of, worker_of
from tests.sources import ROOT

DEADLINE = 60.0
SLOTS = 2  # as many cpus does the mesh find, whatever the machine has


def until(true: Callable[[], object], what: str) -> None:
    """Look again and again until it is so; fail past the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, f"not within {DEADLINE:g} s: {what}"
        time.sleep(0.005)


def processes_of(folder: Path) -> dict[int, str]:
    """What lives with this folder in its words or its environment: pid -> command line."""
    mark = str(folder).encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):  # gone meanwhile
                words = (entry / "cmdline").read_bytes()
                if mark in words + (entry / "environ").read_bytes():
                    found[int(entry.name)] = words.replace(b"\0", b" ").decode(errors="replace")
    return found


class Home:
    """All that runs for this home has its folder in its environment: that is how it is found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        script = programs / "scitq"
        cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))[:SLOTS]))
        script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec taskset -c {cpus} {sys.executable} -m scitq "$@"\n')
        script.chmod(0o755)
        self.environment = {
            "HOME": str(folder),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        self.paths = local_paths(environ=self.environment)
        self.broker = broker_of(self.paths)
        self.worker = worker_of(self.paths)
        self.address = self.paths.address
        self.notices: list[str] = []  # what the clients were told

    def scitq(self, *words: str) -> str:
        """Run one command that must succeed; what it printed."""
        done = subprocess.run(
            ["scitq", *words], env=self.environment, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        assert done.returncode == 0, f"scitq {' '.join(words)}: {done.stderr}"
        return done.stdout

    def client(self) -> Client:
        return Client(Server(address=self.address, local=True), notice=self.notices.append)

    def pid(self, part: Part) -> int:
        return int(part.pid.read_text())

    def kill(self, *parts: Part) -> None:
        """`kill -9`, and wait until they are gone: their locks are free then."""
        for part in parts:
            process = os.pidfd_open(self.pid(part))
            try:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                assert select.select([process], [], [], DEADLINE)[0]
            finally:
                os.close(process)

    def kill_and_restart(self, *parts: Part) -> None:
        self.kill(*parts)
        self.scitq("up")

    def processes(self) -> dict[int, str]:
        """What lives for this home: pid -> command line."""
        return processes_of(self.folder)

    def leaves_nothing(self) -> None:
        """Stop the mesh; whatever is not a keeper is gone at once, and keepers leave by themselves."""
        self.scitq("down")
        assert not [words for words in self.processes().values() if "scitq.node.keeper" not in words]
        until(lambda: not self.processes(), "the last keeper leaves")

    def clear(self) -> None:
        """Whatever still lives."""
        while left := self.processes():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def said(self) -> str:
        """The logs of broker and worker."""
        return "".join(
            f"--- {part.log}\n{part.log.read_text()}" for part in (self.broker, self.worker) if part.log.exists()
        )


@contextmanager
def home(folder: Path) -> Iterator[Home]:
    """A home whose mesh is up; nothing of it lives on afterwards."""
    folder.mkdir()
    one = Home(folder)
    try:
        one.scitq("up")
        yield one
    except BaseException:
        print(one.said())
        raise
    finally:
        one.clear()


class Witness:
    """A file to which every attempt adds its own name, whatever scitq believes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    @property
    def names(self) -> list[str]:
        """`<task>.<attempt>`, in the order of their starts."""
        return [line.rpartition("/")[2] for line in self.path.read_text().splitlines()]

    def wait(self, count: int) -> None:
        until(lambda: len(self.names) >= count, f"{count} attempts have started")
