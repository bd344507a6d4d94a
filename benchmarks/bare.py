"""A broker process alone, on a folder that is thrown away: its start, its memory, its disk, its processor time."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from scitq.broker import segments
from scitq.client import Client
from scitq.config import Server, read_access

# A broker that never folds its journal, for the start that has all of it to read.
NO_COMPACTION = (
    "import sys; from pathlib import Path; from scitq.broker import compaction_child as c, main;"
    "c.WORTH_BYTES = c.WORTH_FILES = 1 << 60;"
    "sys.exit(main.run(Path(sys.argv[1]), (sys.argv[2],), ready_fd=int(sys.argv[3])))"
)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process's threads so far, to the nanosecond; 0 when it is gone."""
    try:
        threads = [(path / "schedstat").read_text() for path in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return 0.0
    return sum(int(thread.split()[0]) for thread in threads) / 1e9


class Bare:
    """A broker and its state folder; `start` again after `stop` for its successor on the same state."""

    def __init__(self, folder: Path, *, compacts: bool = True, tcp: bool = False) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        self.folder = folder
        self.compacts = compacts
        self.bind = "tcp://127.0.0.1:*" if tcp else f"ipc://{folder}/s"
        self.address = self.bind
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Seconds until it answers."""
        begin = time.perf_counter()
        ready, told = os.pipe()
        state = str(self.folder / "state")
        command = [sys.executable, "-c", NO_COMPACTION, state, self.bind, str(told)]
        if self.compacts:
            command = [sys.executable, "-m", "scitq.broker", "--state", state, "--bind", self.bind]
            command += ["--ready-fd", str(told)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, pass_fds=[told], stderr=log)
        os.close(told)
        with os.fdopen(ready, "rb") as stream:
            self.address = stream.readline().decode().strip()
        with self.client() as client:
            client.status()
        return time.perf_counter() - begin

    def stop(self) -> None:
        """In good order."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait()

    @property
    def pid(self) -> int:
        """The running broker's."""
        assert self.process is not None
        return self.process.pid

    def server(self) -> Server:
        """How it is reached, as its admin."""
        if self.address.startswith("ipc://"):
            return Server(address=self.address)
        keys = read_access(self.folder / "state" / "access" / "admin.toml")
        return Server(
            address=self.address,
            server_key=keys.server_key,
            public_key=keys.public_key,
            secret_key=keys.secret_key,
        )

    def client(self) -> Client:
        """A client of it."""
        return Client(self.server(), timeout=60.0, notice=lambda line: None)

    def memory(self) -> int:
        """Bytes of memory it holds."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def disk(self) -> int:
        """Bytes of the journal's frames (its files are allocated ahead)."""
        chain = segments.read_chain(self.folder / "state" / "journal")
        return sum(len(frame.body) for source in chain.sources for frame in source.frames())


def allow_many_files() -> None:
    """As many open files as the machine allows this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
