"""A mesh over tcp with keys: a broker, workers and clients as processes of their own, each on a cable of its own."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from scitq.client import Client
from scitq.config import write_access
from scitq.model import EVERY_BATCH, Task
from scitq.wire import Role
from tests.e2e.chaos.cables import Cable, Wiring, wiring
from tests.e2e.home import processes_of
from tests.integration.mesh import BrokerProcess, until
from tests.sources import ROOT

DEADLINE = 60.0


class Peer:
    """A worker or a client: `start` again after `kill` for its successor."""

    def __init__(self, name: str, cable: Cable, words: Sequence[str], folder: Path) -> None:
        """`folder`: where a worker works."""
        self.name = name
        self.cable = cable
        self.folder = folder / f"{name}-scratch"
        self.log = folder / f"{name}.log"
        self._words = [*cable.enter, sys.executable, "-m", *words]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._words, env=environment, stderr=log, stdin=subprocess.DEVNULL)

    def kill(self, number: int = signal.SIGKILL) -> int:
        """The exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


class Mesh:
    """`grace` seconds, for the broker and the workers alike."""

    def __init__(self, folder: Path, wires: Wiring, grace: float) -> None:
        self.folder = folder
        self.wires = wires
        self.grace = grace
        self.broker = BrokerProcess(folder, "--grace", str(grace))
        self.broker.address = wires.listen
        self.peers: list[Peer] = []

    def start(self) -> None:
        """The broker, at the address that all will know."""
        self.broker.start()

    def client(self) -> Client:
        """The test's own, which no cable cuts off."""
        return self.broker.client_as(self.broker.state / "access" / "admin.toml")

    def worker(self, name: str, *, concurrency: int = 2, prefetch: int = 0, grace: float | None = None) -> Peer:
        """A worker that has joined."""
        access, cable = self._connect(name, "worker")
        words = ["scitq", "node", "--access", str(access), "--scratch", str(self.folder / f"{name}-scratch")]
        words += ["--name", name, "--concurrency", str(concurrency), "--prefetch", str(prefetch)]
        words += ["--batch", EVERY_BATCH, "--grace", str(grace or self.grace)]
        return self._peer(Peer(name, cable, words, self.folder))

    def customer(self, name: str) -> Peer:
        """A client that submits and reads."""
        access, cable = self._connect(name, "user")
        words = ["tests.e2e.chaos.client", str(access), str(self.folder), name]
        return self._peer(Peer(name, cable, words, self.folder))

    def _connect(self, name: str, role: Role) -> tuple[Path, Cable]:
        cable = self.wires.cable(name, self.broker.address)
        file = self.folder / f"{name}.toml"
        with self.client() as admin:
            write_access(file, admin.access_create(name, role, address=cable.address))
        return file, cable

    def _peer(self, peer: Peer) -> Peer:
        self.peers.append(peer)
        peer.start()
        return peer

    def standing(self, client: Client) -> dict[str, str]:
        """How the broker sees its workers."""
        return {worker.name: worker.status for worker in client.workers()}

    def until_standing(self, client: Client, **wanted: str) -> None:
        until(
            lambda: wanted.items() <= self.standing(client).items(),
            f"workers {wanted}",
            DEADLINE,
        )

    def task(self, client: Client, number: int) -> Task:
        (task,) = client.tasks([number])
        return task

    def stop(self) -> None:
        """Everyone leaves in good order; keepers by themselves."""
        for peer in self.peers:
            if peer.process is not None and peer.process.poll() is None:
                assert peer.kill(signal.SIGTERM) == 0, peer.said()
        assert self.broker.kill(signal.SIGTERM) == 0, self.broker.said()
        until(lambda: not self.processes(), "the last process leaves", DEADLINE)

    def processes(self) -> dict[int, str]:
        return processes_of(self.folder)

    def clear(self) -> None:
        """Whatever still lives; its namespace could not be removed before."""
        while left := self.processes():
            for pid in left:
                with suppress(ProcessLookupError):
                    process = os.pidfd_open(pid)
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    select.select([process], [], [], DEADLINE)
                    os.close(process)
            for peer in self.peers:
                if peer.process is not None:
                    peer.process.wait(DEADLINE)
            self.broker.end()

    def said(self) -> str:
        return "\n".join(
            f"--- {log.name}\n{log.read_text()[-6000:]}" for log in sorted(self.folder.glob("*.log")) if log.exists()
        )


@contextmanager
def mesh(folder: Path, kind: str, grace: float) -> Iterator[Mesh]:
    """A mesh whose broker is up; nothing of it lives on. What all said is printed when a test fails."""
    folder.mkdir()
    with wiring(kind) as wires:
        one = Mesh(folder, wires, grace)
        try:
            one.start()
            yield one
        except BaseException:
            print(one.said())
            raise
        finally:
            one.clear()
