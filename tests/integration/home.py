"""A home of its own for the command line, and its local mesh."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.sources import ROOT

DEADLINE = 40.0  # seconds that a test waits for a command that must end


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Home:
    """Everything that `scitq` keeps for its user lies in `folder`, whose path is short enough for a socket."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="scitq-", dir="/tmp"))
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SCITQ_")},
            "PYTHONPATH": str(ROOT),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_DATA_HOME": str(self.folder / "data"),
        }

    def start(self, *words: str | bytes) -> "subprocess.Popen[bytes]":
        """A command on its way."""
        return subprocess.Popen(
            [sys.executable, "-m", "scitq", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environ,
            cwd=self.folder,
        )

    def scitq(self, *words: str | bytes) -> Done:
        """A command and how it ended."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=DEADLINE)
            return Done(process.returncode, os.fsdecode(out), os.fsdecode(err))

    def launch(self, *words: str) -> int:
        """The id of a task queued now."""
        done = self.scitq("launch", *words)
        assert done.code == 0, done
        return int(done.out.removeprefix("Task queued with task id: "))

    def close(self) -> None:
        """Stop the mesh and what it runs, and remove everything."""
        if self.scitq("status").code == 0:
            self.scitq("manage", "task", "cancel", "-S", "waiting,pending,assigned,staging,running,uploading")
            self.scitq("manage", "task", "wait", "-S", "waiting,pending,assigned,staging,running,uploading")
        down = self.scitq("down")
        assert down.code == 0, down
        shutil.rmtree(self.folder, ignore_errors=True)
