"""A real broker process on a folder of its own, for tests."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import zmq

from scitq import wire
from scitq.client import Client
from scitq.config import Server, read_access

DEADLINE = 30.0


def until(true: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    """Look again and again until it is so; fail past the deadline."""
    deadline = time.monotonic() + seconds
    waiter = select.poll()
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        waiter.poll(10)


class BrokerProcess:
    """`start` again after `kill` for its successor on the same state."""

    def __init__(self, folder: Path, *arguments: str, tcp: bool = False) -> None:
        self.state = folder / "state"
        self.log = folder / "broker.log"
        self.socket = folder / "s"
        self.address = "tcp://127.0.0.1:*" if tcp else f"ipc://{self.socket}"
        self.notices: list[str] = []  # what the clients were told
        self._arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "BrokerProcess":
        ready, told = os.pipe()
        command = [sys.executable, "-m", "scitq.broker", "--state", str(self.state), "--bind", self.address]
        command += ["--ready-fd", str(told), *self._arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, pass_fds=[told])
        os.close(told)
        with os.fdopen(ready, "rb") as stream:
            line = stream.readline().decode().strip()
        assert line, self.said()
        self.address = line
        return self

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def said(self) -> str:
        return self.log.read_text()

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def client(self, **options: object) -> Client:
        if self.address.startswith("ipc"):
            return Client(Server(address=self.address), notice=self.notices.append, **options)  # type: ignore[arg-type]
        return self.client_as(self.state / "access" / "admin.toml")

    def client_as(self, access: Path) -> Client:
        keys = read_access(access)
        return Client(
            Server(
                address=self.address,
                server_key=keys.server_key,
                public_key=keys.public_key,
                secret_key=keys.secret_key,
            ),
            notice=self.notices.append,
        )


@contextmanager
def broker(folder: Path, *arguments: str, tcp: bool = False) -> Iterator[BrokerProcess]:
    """A broker that is there, and is gone afterwards."""
    process = BrokerProcess(folder, *arguments, tcp=tcp).start()
    try:
        yield process
    finally:
        process.end()


class Raw:
    """A bare DEALER, for bytes that no client sends."""

    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvtimeo = int(DEADLINE * 1000)
        self.socket.connect(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()
        self._context.term()

    def send(self, *frames: bytes) -> None:
        self.socket.send_multipart(list(frames))

    def receive(self) -> wire.Answer:
        return wire.decode_answer(self.socket.recv())

    def ask(self, message: wire.Message) -> wire.Answer:
        self.send(wire.encode(message))
        return self.receive()

    def hello(self, **fields: object) -> wire.Answer:
        return self.ask(wire.Hello(id=1, protocol=wire.PROTOCOL, **fields))  # type: ignore[arg-type]


def enrolment(name: str = "w1", **fields: object) -> wire.Enrolment:
    """What a model worker says of itself."""
    told: dict[str, object] = {
        "worker": f"id-{name}",
        "name": name,
        "batch": "*",
        "concurrency": 1,
        "prefetch": 0,
        "hostname": "h",
        "cpus": 1,
        "memory": 1,
        "boot": "b",
    }
    return wire.Enrolment(**{**told, **fields})  # type: ignore[arg-type]
