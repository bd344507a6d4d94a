"""The connection of a worker to its broker: one DEALER, made anew, with a fresh routing id, whenever it breaks."""

import random
import struct
from collections.abc import Iterator

import zmq

from scitq.config import Server
from scitq.wire import Message, encode

HEARTBEAT_MS = 5_000
BACKOFF = 0.1  # seconds after the first failure; doubled after each, up to
BACKOFF_LIMIT = 5.0

_MONITORED = struct.Struct("=HI")  # event and value: the first frame; pyzmq's own parser would bring asyncio along
HANDSHAKE_FAILED = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_WATCHED = zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | HANDSHAKE_FAILED


class Link:
    """One DEALER at a time. While none is open, `failures` says how long to wait for the next."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._context = zmq.Context()
        self.socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._failures = 0

    def open(self) -> None:
        """Connect, in the background: messages wait until there is a broker."""
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.sndhwm = socket.rcvhwm = 0  # what is in flight is bounded by acknowledgements
        socket.maxmsgsize = -1
        socket.ipv6 = True
        socket.reconnect_ivl = 50
        socket.reconnect_ivl_max = 2_000
        socket.heartbeat_ivl = HEARTBEAT_MS
        socket.heartbeat_timeout = 3 * HEARTBEAT_MS
        if self._server.server_key:
            socket.curve_serverkey = self._server.server_key.encode()
            socket.curve_publickey = self._server.public_key.encode()
            socket.curve_secretkey = self._server.secret_key.encode()
        self._monitor = socket.get_monitor_socket(_WATCHED)
        socket.connect(self._server.address)
        self.socket = socket

    def close(self, linger_ms: int = 0) -> None:
        """End the connection; what is not yet sent is dropped after `linger_ms`."""
        if self.socket is not None:
            self.socket.disable_monitor()
            if self._monitor is not None:
                self._monitor.close(linger=0)
            self.socket.close(linger=linger_ms)
        self.socket = self._monitor = None

    def end(self, linger_ms: int) -> None:
        """Close for good."""
        self.close(linger_ms)
        self._context.term()

    def pause(self) -> float:
        """Seconds until the next try: longer after each failure, and never the same for two workers."""
        wait = min(BACKOFF_LIMIT, BACKOFF * 2.0 ** min(self._failures, 10))
        self._failures += 1
        return wait * random.uniform(0.5, 1.5)

    def succeeded(self) -> None:
        """The broker welcomed us: the next failure is the first again."""
        self._failures = 0

    def send(self, message: Message) -> None:
        """Send one message."""
        assert self.socket is not None
        self.socket.send(encode(message), zmq.NOBLOCK)

    def frames(self) -> Iterator[bytes]:
        """All that has arrived, at most a thousand at a time."""
        for _ in range(1_000):
            if self.socket is None:
                return
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            yield parts[-1]

    @property
    def watch(self) -> "zmq.Socket[bytes] | None":
        """The socket that becomes readable when the connection is made or breaks."""
        return self._monitor

    def news(self) -> int:
        """What befell the connection since the last time: events of zmq, or-ed; 0 when nothing."""
        seen = 0
        while self._monitor is not None:
            try:
                event, _ = _MONITORED.unpack(self._monitor.recv_multipart(zmq.NOBLOCK)[0])
            except zmq.Again:
                break
            seen |= event
        return seen
