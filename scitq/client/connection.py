"""What is asked of one broker, over as many connections as it takes."""

import math
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

import msgspec
import zmq

from scitq import wire
from scitq.client.line import Line, dial
from scitq.config import Server
from scitq.errors import BadMessage, Conflict, NoServer, UsageError, from_code

T = TypeVar("T")

_ROUND = 1_000  # frames taken in before anything else is looked at


class Call:
    """Something asked and not over: a request, or a subscription, which survives a broker that is long away."""

    def __init__(self, number: int, again: Callable[[int], wire.Message], *, patient: bool) -> None:
        self.id = number
        self.again = again  # what to ask on a new connection, given the id
        self.patient = patient
        self.inbox: deque[wire.Answer] = deque()
        self.owed = 0  # bytes consumed on this connection, and not yet granted anew


class Connection:
    """Calls to one broker. A lost connection is made anew, and what is not over is asked again.

    `timeout` is how long the broker may be away before a request fails (seconds). `notice` is told one line when
    a subscription outlasts that, and when the broker is back.
    """

    def __init__(self, server: Server, timeout: float, notice: Callable[[str], None]) -> None:
        self._server = server
        self._timeout = timeout
        self._notice = notice
        self._calls: dict[int, Call] = {}
        self._numbers = count(1)
        self._mesh = ""
        self._line: Line | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._connect(patient=False)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up and forget every call."""
        self._calls.clear()
        if self._line is not None:
            self._line.close()
            self._line = None
        self._context.term()

    def request(self, message: wire.Message) -> Call:
        """Ask for one answer; the id in `message` does not matter. Asked again when the connection is lost."""
        return self._open(lambda number: msgspec.structs.replace(message, id=number), patient=False)

    def subscribe(self, again: Callable[[int], wire.Message]) -> Call:
        """Ask for many answers; `again` makes the message from an id, now and on every later connection."""
        return self._open(again, patient=True)

    def end(self, call: Call) -> None:
        """Hear no more of this call; answers still under way are dropped."""
        self._calls.pop(call.id, None)

    def unsubscribe(self, call: Call) -> None:
        """Have the broker push no more of this call."""
        self.end(call)
        self.tell(wire.Unfollow(id=next(self._numbers), follow=call.id))

    def tell(self, message: wire.Message) -> None:
        """Say something whose answer nobody awaits; it is lost with the connection."""
        if self._line is not None:
            self._send(wire.encode(message))

    def receive(self, call: Call, deadline: float = math.inf) -> Any:
        """The next answer of a call. Raises what an `error` answer says, TimeoutError at `deadline` (monotonic)."""
        while not call.inbox:
            if time.monotonic() >= deadline:
                raise TimeoutError("no answer in the time given")
            self._pump(deadline, patient=call.patient)
        answer = call.inbox.popleft()
        if isinstance(answer, wire.Error):
            raise from_code(answer.error.get("code", ""), answer.error.get("message", "the request failed"))
        return answer

    def answer(self, call: Call, kind: type[T]) -> T:
        """The one answer of a request, which is over then."""
        try:
            answer = self.receive(call)
        finally:
            self.end(call)
        return expect(answer, kind)

    def ask(self, message: wire.Message, kind: type[T]) -> T:
        """Ask, and wait for the one answer."""
        return self.answer(self.request(message), kind)

    def _open(self, again: Callable[[int], wire.Message], *, patient: bool) -> Call:
        call = Call(next(self._numbers), again, patient=patient)
        try:
            frame = wire.encode(again(call.id))
        except UnicodeEncodeError as problem:
            raise UsageError(f"not valid UTF-8: {problem.object!r}") from None
        if self._line is None:
            self._connect(patient=patient)
        self._calls[call.id] = call
        self._send(frame)
        return call

    def _pump(self, deadline: float, *, patient: bool) -> None:
        """Wait for the next event of the connection, and hand out what arrived."""
        if self._line is None:
            self._connect(patient=patient)
        line = self._line
        assert line is not None
        line.poll(deadline)
        for _ in range(_ROUND):
            if (frame := line.receive()) is None:
                break
            self._hand_out(wire.decode_answer(frame))
        if line.broken:
            self._hang_up()
            self._connect(patient=patient)

    def _hand_out(self, answer: wire.Answer) -> None:
        number = getattr(answer, "id", None)
        if number is not None and (call := self._calls.get(number)) is not None:
            call.inbox.append(answer)
        elif number is None and isinstance(answer, wire.Error):
            raise from_code(answer.error.get("code", ""), answer.error.get("message", "a message was refused"))

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _connect(self, *, patient: bool) -> None:
        """Dial, then ask again what has no answer yet; a `patient` caller waits for the broker without end."""
        known = bool(self._mesh)
        try:
            self._line, welcome = dial(self._context, self._server, time.monotonic() + self._timeout, known=known)
        except NoServer:
            if not patient:
                raise
            self._notice(f"the broker at {self._server.address} is away; waiting for it")
            self._line, welcome = dial(self._context, self._server, math.inf, known=known)
            self._notice(f"the broker at {self._server.address} is back")
        if self._mesh not in {"", welcome.mesh}:
            self._hang_up()
            raise Conflict(f"another mesh answers at {self._server.address} now: its task ids are not the ones known")
        self._mesh = welcome.mesh
        for call in list(self._calls.values()):
            if call.patient:
                call.inbox.clear()  # not consumed: `again` asks for it
                call.owed = 0
            if not call.inbox:
                self._send(wire.encode(call.again(call.id)))

    def _send(self, frame: bytes) -> None:
        assert self._line is not None
        self._line.send(frame)


def expect(answer: Any, kind: type[T]) -> T:
    """The answer, when it is of the kind that the question has."""
    if not isinstance(answer, kind):
        raise BadMessage(f"the broker answered with {type(answer).__name__} where {kind.__name__} belongs")
    return answer
