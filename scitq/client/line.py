"""One DEALER connected to the broker, and the three ways in which that can fail."""

import math
import struct
import time
from typing import Any

import zmq

from scitq import __version__, wire
from scitq.config import Server
from scitq.errors import BadMessage, NoServer, ScitqError, UsageError, WrongKey, WrongVersion, from_code

REDIAL_SECONDS = (0.1, 1.0)  # from one try to the next: at first, and at most
TRY_SECONDS = 10.0  # for one try, where a packet or a name may be lost without a word
HEARTBEAT_MS, SILENCE_MS = 5_000, 15_000  # a tcp peer that vanished is noticed after so long
GREETING = 0  # the id of `hello`; calls are numbered from 1

_WATCHED = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
)
_EVENT = struct.Struct("=Hi")  # as zmq.utils.monitor has it, which imports asyncio
_NOT_ACCEPTED = 400  # ZAP's status; 300 is temporary


class Line:
    """One connection, and the monitor that says what becomes of it.

    libzmq may not make it anew behind our back: to the broker that would be a peer who did not say `hello`.
    """

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", server: Server) -> None:
        self.broken = False  # it ended, or never came to be
        self.refused = False
        self.connected = False
        self.greeted = False
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.set(zmq.MAXMSGSIZE, wire.MESSAGE_LIMIT)
        self._socket.set(zmq.RECONNECT_IVL, -1)
        self._socket.set(zmq.SNDHWM, 0)
        if server.address.startswith("tcp://"):
            self._socket.set(zmq.IPV6, int("[" in server.address))
            self._socket.set(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
            self._socket.set(zmq.HEARTBEAT_TIMEOUT, SILENCE_MS)
        if server.server_key:
            self._socket.curve_serverkey = server.server_key.encode()
            self._socket.curve_publickey = server.public_key.encode()
            self._socket.curve_secretkey = server.secret_key.encode()
        self._monitor: Any = self._socket.get_monitor_socket(_WATCHED)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        try:
            self._socket.connect(server.address)
        except zmq.ZMQError as problem:
            self.close()
            raise UsageError(f"not an address: {server.address!r}: {problem}") from None

    def send(self, frame: bytes) -> None:
        """Queue a frame; it is lost when the line breaks."""
        try:
            self._socket.send(frame, zmq.DONTWAIT)
        except zmq.Again:
            self.broken = True

    def poll(self, deadline: float) -> None:
        """Wait until something arrived, something became of the connection, or `deadline` (monotonic)."""
        if self.broken:
            return
        patience = min(max(deadline - time.monotonic(), 0.0), 3_600.0)
        if (self._monitor, zmq.POLLIN) not in self._poller.poll(math.ceil(patience * 1_000)):
            return
        while self._monitor.poll(0):
            event, value = _EVENT.unpack(self._monitor.recv_multipart()[0])
            if event == zmq.EVENT_CONNECTED:
                self.connected = True
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.greeted = True
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH and value == _NOT_ACCEPTED:
                self.refused = True
            elif event in {zmq.EVENT_DISCONNECTED, zmq.EVENT_CLOSED}:
                self.broken = True

    def receive(self) -> bytes | None:
        """The next frame that has arrived, None when there is none."""
        try:
            return self._socket.recv(zmq.DONTWAIT)
        except zmq.Again:
            return None

    def close(self) -> None:
        """Hang up; what was queued is dropped."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)


def dial(
    context: "zmq.Context[zmq.Socket[bytes]]", server: Server, deadline: float, *, known: bool = False
) -> tuple[Line, wire.Welcome]:
    """A line on which the broker has answered `hello`.

    `known`: it has before. Raises NoServer, WrongKey or WrongVersion, by `deadline` (monotonic) at the latest; what
    fails for good at once.
    """
    hello = wire.encode(wire.Hello(id=GREETING, protocol=wire.PROTOCOL, version=__version__))
    pause, longest = REDIAL_SECONDS
    furthest = away = shut = 0
    while True:
        line = Line(context, server)
        try:
            line.send(hello)
            welcome = _greeting(line, server, min(deadline, time.monotonic() + TRY_SECONDS))
        except BaseException:
            line.close()
            raise
        if welcome is not None:
            return line, welcome
        line.close()
        furthest = max(furthest, line.connected + line.greeted)
        away += line.broken and not line.connected
        shut += line.broken and line.connected
        left = deadline - time.monotonic()
        if left <= 0:
            # Who has another key hangs up at every try; a broker that dies, or stands still, does not.
            raise _silence(furthest, server, stranger=not known and not away and shut > 1)
        time.sleep(min(pause, left))
        pause = min(2 * pause, longest)


def _greeting(line: Line, server: Server, deadline: float) -> wire.Welcome | None:
    """The answer to `hello`; None when the line broke, or `deadline` was there, before it came."""
    while True:
        line.poll(deadline)
        if (frame := line.receive()) is not None:
            return _welcome(frame, server)
        if line.refused:
            raise WrongKey(
                f"the broker at {server.address} does not accept this key: it was revoked, or belongs elsewhere"
            )
        if line.broken or time.monotonic() >= deadline:
            return None


def _welcome(frame: bytes, server: Server) -> wire.Welcome:
    try:
        answer = wire.decode_answer(frame)
    except BadMessage:
        answer = None
    if isinstance(answer, wire.Error):
        raise from_code(answer.error.get("code", ""), answer.error.get("message", "hello was refused"))
    if not isinstance(answer, wire.Welcome) or answer.protocol != wire.PROTOCOL:
        raise WrongVersion(
            f"the broker at {server.address} does not speak protocol {wire.PROTOCOL} of scitq {__version__}: "
            "install the same version on both sides"
        )
    return answer


def _silence(furthest: int, server: Server, *, stranger: bool) -> ScitqError:
    """Why nobody answered in time, by how far a try came; a `stranger` hung up whenever it was to show its key."""
    if furthest == 0:
        hint = "start one with `scitq up`" if server.local else "is the broker running, is the address right?"
        return NoServer(f"nothing answers at {server.address}: {hint}")
    if furthest == 2 or not stranger:
        return NoServer(f"the broker at {server.address} took the connection, and says nothing")
    if server.server_key:
        return WrongKey(
            f"what answers at {server.address} does not have the server key of this access file: "
            "another broker, or none"
        )
    return NoServer(f"what answers at {server.address} is no broker that needs no key")
