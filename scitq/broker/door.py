"""The broker's one ROUTER socket: bound, bounded, and who stands behind each message."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import zmq

from scitq import wire
from scitq.broker.access import ServerKeys
from scitq.broker.commands import Peer
from scitq.broker.peers import Peers
from scitq.broker.unread import TRACKED_FROM, To, Unread
from scitq.config import make_private
from scitq.errors import BadMessage, Refused, ScitqError, Unavailable
from scitq.model import MIB, Access
from scitq.wire import MESSAGE_LIMIT

QUEUED_MESSAGES = 1_000  # per connection, in libzmq; past that it is taken for dead
PUSH_LIMIT = 4 * MIB  # unread by one connection: past that nothing is pushed, and no task handed over, to it
UNREAD_LIMIT = 16 * MIB  # past that its requests are refused; past twice that it is dropped
_UNREAD = f"more than {UNREAD_LIMIT // MIB} MiB of answers lie unread for this connection: read them, then ask again"
_AT_ONCE, _AT_ONCE_MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)  # as enums they cost as much as a call
BACKLOG = 4096  # connections that wait to be taken: past that a newcomer is not heard, and tries again a second later
HEARTBEAT_MS = 15_000
SILENT_MS = 20_000


class Arrival(NamedTuple):
    """A message that may be handled, or why its sender is refused."""

    route: bytes
    peer: Peer | None
    message: wire.Request | None
    problem: ScitqError | None
    request: int | None  # the id of the request, if it could be read


class Parcel(NamedTuple):
    """A message on its way out."""

    to: To
    frame: bytes


class Door:
    """Receives from, and sends to, all connections; never waits for one of them."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        bind: tuple[str, ...],
        keys: ServerKeys,
        access: Mapping[str, Access],
        peers: Peers,
    ) -> None:
        self._access = access
        self._peers = peers
        self.unread = Unread()
        self._emptied = False  # nothing was to be received, and nothing was sent since
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 500
        self.socket.router_mandatory = True
        self.socket.copy_threshold = TRACKED_FROM
        self.socket.maxmsgsize = MESSAGE_LIMIT
        self.socket.backlog = BACKLOG
        self.socket.sndhwm = self.socket.rcvhwm = QUEUED_MESSAGES
        self.socket.heartbeat_ivl = HEARTBEAT_MS
        self.socket.heartbeat_timeout = SILENT_MS
        # A listener takes the options as they are at its bind: the ipc ones first, without CURVE.
        for address in sorted(bind, key=lambda address: not address.startswith("ipc://")):
            if address.startswith("ipc://"):
                make_private(Path(address.removeprefix("ipc://")).parent)
            else:
                self.socket.curve_server = True
                self.socket.curve_secretkey = keys.secret.encode()
                self.socket.curve_publickey = keys.public.encode()
            try:
                self.socket.bind(address)
            except zmq.ZMQError as problem:
                raise Unavailable(f"cannot listen at {address}: {problem}") from None

    @property
    def endpoint(self) -> str:
        """The last address bound, as libzmq says it (a wildcard port resolved)."""
        endpoint = self.socket.getsockopt(zmq.LAST_ENDPOINT)
        return endpoint.rstrip(b"\0").decode() if isinstance(endpoint, bytes) else str(endpoint)

    @property
    def waiting(self) -> bool:
        """Whether something can be received: the descriptor alone does not tell, for a send takes its signal too."""
        return not self._emptied and bool(int(self.socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)

    def receive(self) -> Arrival | None:
        """The next message, whatever it is; None when there is none."""
        try:
            route = self.socket.recv(_AT_ONCE)
        except zmq.Again:
            self._emptied = True
            return None
        frame = self.socket.recv(_AT_ONCE, copy=False)
        if frame.more:
            several = BadMessage(f"{self._rest_of_message() + 1} frames where one message is one frame")
            return Arrival(route, None, None, several, None)
        body = frame.buffer
        try:
            message = wire.decode_request(body)
        except BadMessage as problem:
            return Arrival(route, None, None, problem, wire.request_id(body))
        request = getattr(message, "id", None)
        peer = self._identify(route, frame)
        if peer is None:
            return Arrival(route, None, None, Refused("this key is not accepted any more"), request)
        if self._peers.get(route) is None and not isinstance(message, wire.Hello):
            return Arrival(route, peer, None, BadMessage("the first message is `hello`"), request)
        if request is not None and self.unread.of(route) > UNREAD_LIMIT and not isinstance(message, wire.Hello):
            return Arrival(route, peer, None, Unavailable(_UNREAD), request)
        return Arrival(route, peer, message, None, request)

    def _rest_of_message(self) -> int:
        """Drop the frames that are left of it; how many they were."""
        number = 1
        while self.socket.recv(_AT_ONCE, copy=False).more:
            number += 1
        return number

    def _identify(self, route: bytes, frame: zmq.Frame) -> Peer | None:
        """Role and name by the key, at every message; a connection without a key came by ipc."""
        known = self._peers.get(route)
        try:
            key = frame.get("User-Id")
        except zmq.ZMQError:
            return known or Peer(route, "admin", "local")
        access = self._access.get(str(key))
        if access is None:
            return None
        if known is not None and (known.name, known.role) == (access.name, access.role):
            return known
        return Peer(route, access.role, access.name)

    @staticmethod
    def pack(to: To, message: wire.Answer) -> Parcel:
        """The message as it leaves; an error in its place when it is too large."""
        try:
            return Parcel(to, wire.encode(message))
        except ScitqError as problem:
            error = {"code": problem.code, "message": f"{problem}; ask for fewer rows"}
            return Parcel(to, wire.encode(wire.Error(id=getattr(message, "id", None), error=error)))

    def send(self, route: bytes, frame: bytes) -> bool:
        """Send without waiting; False when the connection is gone, or so slow that its queue is full."""
        self._emptied = False
        try:
            if len(frame) < TRACKED_FROM:
                self.socket.send(route, _AT_ONCE_MORE)
                self.socket.send(frame, _AT_ONCE)
                return True
            if self.unread.of(route) > 2 * UNREAD_LIMIT:
                return False
            self.socket.send(route, _AT_ONCE_MORE)
            tracker = self.socket.send(frame, _AT_ONCE, copy=False, track=True)
        except zmq.ZMQError:
            return False
        self.unread.lend(route, tracker, len(frame))
        return True
