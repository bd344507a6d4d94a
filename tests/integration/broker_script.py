"""A broker that does what a test tells it: a ROUTER that welcomes one worker and records all it says."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import zmq
from msgspec import Raw

from scitq import wire
from scitq.model import Spec

DEADLINE = 20.0  # seconds that a test waits for what must come
MESH = "00000000-0000-4000-8000-000000000001"

M = TypeVar("M", bound=wire.Message)
T = TypeVar("T")


class ScriptedBroker:
    """What arrived is kept until a test takes it; acknowledgements go out only when `acknowledges` is set."""

    def __init__(self, address: str, *, mesh: str = MESH, concurrency: int = 2) -> None:
        self.address = address
        self.mesh = mesh
        self.epoch = 1
        self.concurrency = concurrency
        self.acknowledges = True
        self.verdicts: dict[wire.Ref, str] = {}
        self.worker = b""
        self.hellos: list[wire.Hello] = []
        self.ends: list[wire.End] = []
        self.started: list[wire.Started] = []
        self.returned: list[wire.Ref] = []
        self.kept: list[wire.Ref] = []
        self.confirm: list[wire.Ref] = []
        self.chunks: list[wire.Chunk] = []
        self.told: list[wire.ResourceList | wire.Cleaned] = []
        self.reports = 0
        self.byes = 0
        self.streams: dict[tuple[wire.Ref, str], bytearray] = {}
        self._context = zmq.Context()
        self._open()

    def _open(self) -> None:
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(self.address)

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def vanish(self) -> None:
        """As if killed: the worker's connection ends."""
        self._socket.close()
        self.worker = b""

    def come_back(self) -> None:
        self._open()

    def send(self, message: wire.Message) -> None:
        self._socket.send_multipart([self.worker, wire.encode(message)])

    def assign(self, *tasks: tuple[wire.Ref, Spec]) -> None:
        self.send(wire.Assign(tasks=tuple(wire.Assignment(ref, Raw(wire.pack_spec(spec))) for ref, spec in tasks)))

    def run(self, number: int, *command: str, attempt: int = 1, **options: object) -> wire.Ref:
        """Hand over one task."""
        ref = wire.Ref(number, attempt, self.epoch)
        self.assign((ref, msgspec.convert({"command": command, **options}, Spec)))
        return ref

    def until(self, condition: Callable[[], T | None], what: str = "") -> T:
        """Serve the worker until the condition holds; returns what it gave."""
        deadline = time.monotonic() + DEADLINE
        while not (result := condition()):
            left = deadline - time.monotonic()
            assert left > 0, f"not within {DEADLINE} s: {what}; {self.__dict__}"
            if self._socket.closed:
                time.sleep(0.01)
            elif self._socket.poll(min(50, int(left * 1000) + 1)):
                self._receive()
        return result

    def joined(self) -> wire.Enrolment:
        """Wait for the worker; its last enrolment."""
        self.until(lambda: self.worker, "hello")
        enrolment = self.hellos[-1].enrol
        assert enrolment is not None
        return enrolment

    def end_of(self, ref: wire.Ref) -> wire.End:
        """Wait for the end of an attempt."""
        return self.until(lambda: next((end for end in self.ends if end.ref == ref), None), f"the end of {ref}")

    def running(self, ref: wire.Ref) -> wire.Started:
        """Wait until an attempt runs."""
        return self.until(
            lambda: next((one for one in self.started if one.ref == ref and one.phase == "running"), None),
            f"the start of {ref}",
        )

    def written(self, path: Path) -> str:
        """Wait until a task has written a line to a file; the line."""
        return self.until(lambda: path.read_text().strip() if path.exists() else "", f"a line in {path}")

    def text(self, ref: wire.Ref, stream: str = "stdout") -> bytes:
        """All bytes of a stream that came in chunks."""
        return bytes(self.streams.get((ref, stream), b""))

    def _receive(self) -> None:
        identity, frame = self._socket.recv_multipart()
        message = wire.decode_request(frame)
        if isinstance(message, wire.Hello):
            self.worker = identity
            self.hellos.append(message)
            self._welcome(message)
        elif identity != self.worker:
            return
        elif isinstance(message, wire.Beat):
            self.send(wire.Ack())
        elif isinstance(message, wire.Bye):
            self.byes += 1
        elif isinstance(message, wire.ResourceList | wire.Cleaned):
            self.told.append(message)
        else:
            assert isinstance(message, wire.Report), message
            self._take(message)

    def _welcome(self, hello: wire.Hello) -> None:
        assert hello.enrol is not None
        self.send(
            wire.Welcome(
                id=hello.id,
                protocol=wire.PROTOCOL,
                mesh=self.mesh,
                epoch=self.epoch,
                version="script",
                role="worker",
                worker=hello.enrol.name,
                concurrency=self.concurrency,
                beat_seconds=0.5,
                verdicts=tuple(
                    wire.Verdict(held.ref, self.verdicts.get(held.ref, "keep"))  # type: ignore[arg-type]
                    for held in hello.enrol.held
                    if hello.enrol.mesh == self.mesh
                ),
            )
        )

    def _take(self, report: wire.Report) -> None:
        self.reports += 1
        marks = []
        for chunk in report.chunks:
            self.chunks.append(chunk)
            if chunk.live:
                continue
            known = self.streams.setdefault((chunk.ref, chunk.stream), bytearray())
            if chunk.skip:
                known.extend(b"\0" * (chunk.offset - len(known)))
            assert chunk.offset <= len(known), "a gap in the output"
            known[chunk.offset :] = chunk.data
            marks.append(wire.LogMark(chunk.ref, chunk.stream, len(known)))
        for kind in ("started", "returned", "kept", "ends", "confirm"):
            getattr(self, kind).extend(getattr(report, kind))
        if self.acknowledges and (marks or report.ends):
            self.send(wire.Ack(ends=tuple(end.ref for end in report.ends), logs=tuple(marks)))


@contextmanager
def scripted_broker(folder: Path, **options: object) -> Iterator[ScriptedBroker]:
    """A broker on a socket in a folder."""
    broker = ScriptedBroker(f"ipc://{folder}/broker.sock", **options)  # type: ignore[arg-type]
    try:
        yield broker
    finally:
        broker.close()
