"""Peers that mean harm, or know no better: the broker goes on, grows no fatter, and serves everybody else."""

import itertools
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal, Self

import msgpack
import pytest
import zmq
from msgspec.structs import replace

from scitq import wire
from scitq.broker import maintenance
from scitq.config import AccessFile, read_access, write_access
from scitq.errors import BadMessage
from scitq.model import Spec
from tests.hostile import Generator
from tests.integration.mesh import DEADLINE, BrokerProcess, broker, enrolment, until

MIB = 1 << 20
SLOTS = 40  # of a hostile worker
GROWTH = 32 * MIB  # of the broker, whatever it was sent
KEPT = 4096  # bytes more for each task or worker that it has to know
CONNECTIONS = 2_000
HALF_OPEN = 16 * 1024  # bytes of memory that a connection may take that has not said who it is
VOLLEY = 250  # messages until the peer waits for an answer: below what a connection may have waiting
DEFECTS = ("a defect of", "Traceback", "cannot be applied", "Error:", "Exception")


def resident(process: BrokerProcess) -> int:
    """Bytes of memory that the broker has now."""
    assert process.process is not None
    return int(Path(f"/proc/{process.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class HostilePeer:
    """One connection that sends what its generator makes; every answer it gets is read and looked at."""

    def __init__(
        self, process: BrokerProcess, keys: AccessFile, generator: Generator, hello: wire.Hello | None
    ) -> None:
        self.generator = generator
        self._process = process
        self._story = process.log.with_name("volley")  # the last one, for whoever looks for what went wrong
        self._keys = keys
        self._hello = hello
        self._number = 1 << 40
        self._context = zmq.Context()
        self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()
        self._context.term()

    def _connect(self, unread: int = 0) -> None:
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.sndhwm, self._socket.rcvhwm = 0, unread
        self._socket.curve_serverkey = self._keys.server_key.encode()
        self._socket.curve_publickey = self._keys.public_key.encode()
        self._socket.curve_secretkey = self._keys.secret_key.encode()
        self._socket.connect(self._process.address)

    def volley(self, count: int) -> None:
        """Say hello if it is one that does, send so many messages, and wait until the broker has handled them."""
        if self._hello is not None:
            self._greet(self._hello)
        sent = list(self.generator.messages(count))
        self._story.write_bytes(msgpack.packb(sent))
        for frames in sent:
            self._socket.send_multipart(frames)
        self._wait()

    def fill(self, count: int) -> None:
        """Ask so often, and read nothing."""
        self._socket.close()
        self._connect(unread=1)
        assert self._hello is not None
        self._socket.send(wire.encode(self._hello))
        for number in range(count):
            self._socket.send(wire.encode(wire.Status(id=number)))

    def _greet(self, hello: wire.Hello) -> None:
        """A worker still holds what it was given: what it says of that next may be believed."""
        if hello.enrol is not None:
            held = tuple(wire.Held(ref=ref, phase="staged") for ref in self.generator.refs)
            hello = replace(hello, enrol=replace(hello.enrol, held=held))
        self.generator.refs = []
        self._socket.send(wire.encode(hello))
        self._wait()

    def _wait(self) -> None:
        """Read all answers up to the one to a question asked now."""
        self._number += 1
        self._socket.send(wire.encode(wire.Status(id=self._number)))
        while getattr(answer := self._answer(), "id", None) != self._number:
            if isinstance(answer, wire.Assign):
                self.generator.refs += [one.ref for one in answer.tasks]
            elif isinstance(answer, wire.Welcome):
                self.generator.refs += [verdict.ref for verdict in answer.verdicts if verdict.do == "keep"]
            elif isinstance(answer, wire.Error):
                assert "defect" not in answer.error["message"], f"{answer} after what is in {self._story}"

    def _answer(self) -> wire.Answer:
        until(lambda: self._socket.poll(100) or not self._process.alive(), f"an answer to what is in {self._story}")
        assert self._process.alive(), f"{self._process.said()[-5000:]}\nafter what is in {self._story}"
        frame = self._socket.recv()
        try:
            return wire.decode_answer(frame)
        except BadMessage as problem:
            raise AssertionError(f"an answer that is none: {problem}: {frame!r}") from None


class Bystander(threading.Thread):
    """A client that means well, beside all this: each of its requests is answered, within the deadline."""

    def __init__(self, process: BrokerProcess) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._enough = threading.Event()
        self.rounds = 0
        self.problem: BaseException | None = None

    def __enter__(self) -> Self:
        self.start()
        until(lambda: self.rounds or self.problem, "the bystander's first answers")
        return self

    def __exit__(self, *exc: object) -> None:
        self._enough.set()
        self.join(2 * DEADLINE)
        assert not self.is_alive(), "the bystander waits for an answer"

    def check(self) -> None:
        """It has been served again since the last look."""
        rounds = self.rounds
        until(lambda: self.rounds > rounds + 1 or self.problem, "the bystander is served")
        assert self.problem is None, self.problem

    def feed(self) -> None:
        """Have some tasks for the hostile workers to be handed."""
        with self._process.client() as client:
            client.submit_many([Spec(command=("true",), batch="a")] * SLOTS)

    def run(self) -> None:
        try:
            with self._process.client() as client:
                while not self._enough.is_set():
                    request = f"bystander {self.rounds}"
                    assert client.submit(["true"], batch="quiet", request_id=request) > 0
                    assert client.status().pid == self._process.process.pid  # type: ignore[union-attr]
                    client.workers()
                    self.rounds += 1
                    self._enough.wait(0.05)
        except BaseException as problem:  # noqa: BLE001 - told by `check`
            self.problem = problem


def grant(process: BrokerProcess, name: str, role: Literal["user", "worker", "deployer"]) -> AccessFile:
    with process.client() as admin:
        return admin.access_create(name, role, address=process.address)


def hello(name: str = "", **fields: object) -> wire.Hello:
    enrol = enrolment(name, **fields) if name else None
    return wire.Hello(id=1, protocol=wire.PROTOCOL, enrol=enrol)


def check_unharmed(process: BrokerProcess, folder: Path) -> None:
    """It lives, nothing was a defect, its state is sound, and a normal task runs."""
    assert process.alive(), process.said()[-5000:]
    said = process.said()
    assert not [line for line in said.splitlines() if any(word in line for word in DEFECTS)], said[-5000:]
    keys = grant(process, "plain", "worker")
    write_access(folder / "plain.toml", keys)
    words = [sys.executable, "-m", "scitq", "node", "--access", str(folder / "plain.toml"), "--name", "plain"]
    words += ["--batch", "plain", "--scratch", str(folder / "scratch")]
    with (folder / "node.log").open("wb") as log, subprocess.Popen(words, stderr=log) as node:
        try:
            with process.client() as client:
                task = client.submit(["sh", "-c", "echo all is well"], batch="plain")
                (end,) = client.wait([task], timeout=DEADLINE)
                assert end.status == "succeeded", end
                assert b"".join(data for _, data in client.output(task)) == b"all is well\n"
        finally:
            node.terminate()
    process.kill()
    report = maintenance.check(process.state)
    assert report.sound, report.lines
    process.start()
    with process.client() as client:
        assert next(iter(client.tasks([task]))).status == "succeeded"


def check_memory(process: BrokerProcess, before: int) -> None:
    """What it has grown by is what it was told to keep, and little more."""
    with process.client() as client:
        known = sum(client.status().counts.values()) + len(list(client.workers()))
    grown = resident(process) - before
    assert grown < GROWTH + known * KEPT, f"{grown / MIB:.0f} MiB for {known} tasks and workers"


@contextmanager
def hostile_peers(process: BrokerProcess, seed: object) -> Iterator[list[HostilePeer]]:
    """An admin, a user, a deployer, a worker with tasks, one without, and two that never say hello."""
    admin = grant(process, "hostile-admin", "user")
    worker, idle = grant(process, "hostile-worker", "worker"), grant(process, "idle-worker", "worker")
    local = read_access(process.state / "access" / "admin.toml")
    reports = ("report", "beat")
    plans = (
        (local, (), hello()),
        (local, ("report", "submit"), hello("w1", batch="b", concurrency=SLOTS)),
        (admin, ("submit", "follow", "follow_output", "output", "credit"), hello()),
        (grant(process, "hostile-deployer", "deployer"), (), hello()),
        (worker, reports, hello("hostile-worker", batch="a", concurrency=SLOTS)),
        (idle, reports, hello("idle-worker", batch="nothing")),
        (local, (), None),
        (worker, (), None),
    )
    with ExitStack() as stack:
        yield [
            stack.enter_context(HostilePeer(process, keys, Generator(f"{seed} {number}", often), greeting))
            for number, (keys, often, greeting) in enumerate(plans)
        ]


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.proof)])
def test_a_flood_of_bent_messages_harms_nothing(tmp_path: Path, count: int) -> None:
    with broker(tmp_path, tcp=True) as process, Bystander(process) as bystander:
        with hostile_peers(process, seed=count) as peers:
            for peer in peers:
                peer.volley(VOLLEY)
            before, sent = resident(process), 0
            while sent < count:
                bystander.feed()
                for peer in peers:
                    peer.volley(VOLLEY)
                    sent += VOLLEY
                bystander.check()
        check_memory(process, before)
        check_unharmed(process, tmp_path)


def connection(process: BrokerProcess) -> socket.socket:
    host, _, port = process.address.removeprefix("tcp://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=DEADLINE)


def many_files(stack: ExitStack) -> None:
    """As many connections as this machine lets a process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))


def open_files(process: BrokerProcess) -> int:
    assert process.process is not None
    return len(os.listdir(f"/proc/{process.process.pid}/fd"))


@pytest.mark.timeout(300)
def test_floods_of_connections_keep_nobody_out(tmp_path: Path) -> None:
    """Connections that say nothing, or no ZeroMQ, or half a message: others come and go beside them."""
    with ExitStack() as stack:
        process = stack.enter_context(broker(tmp_path, tcp=True))
        bystander = stack.enter_context(Bystander(process))
        many_files(stack)
        noise = random.Random(1)
        silent = [stack.enter_context(connection(process)) for _ in range(CONNECTIONS)]
        bystander.check()
        for one in silent:
            with suppress(OSError):  # closed by the broker already
                one.sendall(
                    noise.choice((b"\xff" + bytes(8) + b"\x7f", b"GET / HTTP/1.1\r\n\r\n", noise.randbytes(200)))
                )
        bystander.check()
        check_unharmed(process, tmp_path)


def test_many_that_come_at_once_are_all_heard(tmp_path: Path) -> None:
    """The kernel lets them wait while the broker does something else, as when it has just started again."""
    if int(Path("/proc/sys/net/core/somaxconn").read_text()) < CONNECTIONS:
        pytest.skip(f"this machine lets fewer than {CONNECTIONS} connections wait (net.core.somaxconn)")
    with ExitStack() as stack:
        process = stack.enter_context(broker(tmp_path, tcp=True))
        many_files(stack)
        assert process.process is not None
        process.process.send_signal(signal.SIGSTOP)
        stack.callback(process.process.send_signal, signal.SIGCONT)
        for _ in range(CONNECTIONS):
            stack.enter_context(connection(process))
        process.process.send_signal(signal.SIGCONT)
        with process.client() as newcomer:
            assert newcomer.status().pid == process.process.pid


# The first bytes of ZMTP 3.1 with CURVE: signature, version, mechanism, `as-server`, filler; then the first command.
GREETING = b"\xff" + bytes(7) + b"\1\x7f" + b"\3\1" + b"CURVE".ljust(20, b"\0") + bytes(32)
HELLO = b"\4\xc8\5HELLO\1\0" + bytes(72)
HALVES = (b"", GREETING[:5], GREETING[:10], GREETING[:32], GREETING, GREETING + HELLO[:40])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("waves", [4, pytest.param(20, marks=pytest.mark.proof)])
def test_half_a_greeting_again_and_again_keeps_nobody_out(tmp_path: Path, waves: int) -> None:
    """Each wave of connections stops in the middle of its handshake; it stays open until the one after the next."""
    with ExitStack() as stack:
        process = stack.enter_context(broker(tmp_path, tcp=True))
        bystander = stack.enter_context(Bystander(process))
        many_files(stack)
        before, halves = resident(process), itertools.cycle(HALVES)
        held: deque[ExitStack] = deque()
        for _ in range(waves):
            wave = stack.enter_context(ExitStack())
            for half in itertools.islice(halves, CONNECTIONS):
                one = wave.enter_context(connection(process))
                one.sendall(half)
            held.append(wave)
            if len(held) > 2:
                held.popleft().close()
            bystander.check()
            with process.client() as newcomer:
                assert newcomer.status().pid
            assert resident(process) - before < GROWTH + 2 * CONNECTIONS * HALF_OPEN
        while held:
            held.popleft().close()
        until(lambda: open_files(process) < CONNECTIONS, "the broker has let go of all of them")
        assert resident(process) - before < GROWTH + 2 * CONNECTIONS * HALF_OPEN
        check_unharmed(process, tmp_path)


def test_a_peer_that_never_reads_is_dropped_and_delays_nobody(tmp_path: Path) -> None:
    with broker(tmp_path, tcp=True) as process, Bystander(process) as bystander:
        before = resident(process)
        with HostilePeer(process, grant(process, "deaf", "user"), Generator(0), hello()) as deaf:
            deaf.fill(20_000)
            bystander.check()
            assert resident(process) - before < GROWTH
        check_unharmed(process, tmp_path)
