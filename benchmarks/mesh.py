"""A mesh of its own for measuring: broker and worker as processes, in a folder that is gone afterwards."""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from scitq.client import Client
from scitq.config import Server


class Mesh:
    """A broker and one worker with so many slots."""

    def __init__(self, folder: Path, slots: int) -> None:
        self.folder = folder
        folder.chmod(0o700)
        self.address = f"ipc://{folder}/s"
        self._slots = slots
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        ready, told = os.pipe()
        broker = [sys.executable, "-m", "scitq.broker", "--state", f"{self.folder}/state", "--bind", self.address]
        log = (self.folder / "log").open("ab")
        self._processes.append(
            subprocess.Popen([*broker, "--ready-fd", str(told)], pass_fds=[told], stderr=log, stdout=log)
        )
        os.close(told)
        with os.fdopen(ready, "rb") as stream:
            stream.readline()
        node = [sys.executable, "-m", "scitq", "node", "-s", self.address, "--name", "bench", "--batch", "*"]
        node += ["--concurrency", str(self._slots), "--scratch", f"{self.folder}/scratch"]
        self._processes.append(subprocess.Popen(node, stderr=log, stdout=log))
        with self.client() as client:
            client.wait([client.submit(["true"])], timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait()

    def pids(self) -> list[int]:
        """The broker, the agent, then the keepers."""
        broker, agent = (process.pid for process in self._processes)
        keepers = [
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if "scitq.node.keeper" in (words := process.info["cmdline"] or []) and str(self.folder) in " ".join(words)
        ]
        return [broker, agent, *keepers]

    def client(self) -> Client:
        """A client of the mesh."""
        return Client(Server(address=self.address), notice=lambda line: None)
