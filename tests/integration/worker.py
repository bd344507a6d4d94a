"""A worker as a process of its own, for tests: `python -m tests.integration.worker SETTINGS` (JSON)."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.broker_script import DEADLINE


class Worker:
    """One agent process on a scratch folder; `start` again after `kill` to be its successor.

    `limits` False: it may make no cgroups.
    """

    def __init__(self, address: str, scratch: Path, **options: object) -> None:
        self.scratch = scratch
        self.log = scratch.parent / "worker.log"
        self._settings = {"address": address, "scratch": str(scratch), **options}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.worker", json.dumps(self._settings)], stderr=log
            )

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End the agent, not what it runs; returns its exit code."""
        assert self.process is not None
        os.kill(self.process.pid, number)
        return self.process.wait(DEADLINE)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(DEADLINE)

    def said(self) -> str:
        return self.log.read_text()

    def end(self) -> None:
        """Whatever still runs: agent, keepers and their commands."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        mark = str(self.scratch).encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if mark in told:
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue


@contextmanager
def worker(address: str, scratch: Path, **options: object) -> Iterator[Worker]:
    """A started worker, gone afterwards with all it runs."""
    one = Worker(address, scratch, **options)
    one.start()
    try:
        yield one
    finally:
        one.end()


def main() -> int:
    from scitq.config import Server
    from scitq.errors import ScitqError
    from scitq.node import limits
    from scitq.node.main import run
    from scitq.node.settings import Settings

    options = json.loads(sys.argv[1])
    server = Server(address=options.pop("address"))
    scratch = Path(options.pop("scratch"))
    if not options.pop("limits", True):  # as where this user may make no cgroups
        limits.places = lambda root="": {}
    try:
        return run(Settings(server=server, scratch=scratch, **options))
    except ScitqError as problem:
        print(problem, file=sys.stderr)
        return problem.exit_code


if __name__ == "__main__":
    sys.exit(main())
