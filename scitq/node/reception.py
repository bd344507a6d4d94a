"""Where a keeper hears its agent: one socket, one agent at a time, the newest."""

import math
import select
import socket
import time
from typing import TYPE_CHECKING, Any

import msgpack

if TYPE_CHECKING:
    from collections.abc import Callable

HOLD = 0.003  # seconds that answers may wait for company while more work is queued
_CHUNK = 256 * 1024
_LONGEST = 64 * 1024 * 1024  # bytes of one order

_pack = msgpack.Packer(use_bin_type=True).pack
_now = time.monotonic


class Reception:
    """The listening socket, the agent of the moment, and what is still to be sent to it."""

    def __init__(
        self,
        listener: int,
        poll: select.epoll,
        greeting: "Callable[[], list[Any]]",
        carry_out: "Callable[[list[Any]], None]",
    ) -> None:
        """`greeting` makes the first message to a new agent; `carry_out` gets every order."""
        self._listener = socket.socket(fileno=listener)
        self._listener.setblocking(False)
        self._poll = poll
        self._poll.register(self._listener, select.EPOLLIN)
        self._greeting = greeting
        self._carry_out = carry_out
        self._agent: socket.socket | None = None
        self._unpacker = msgpack.Unpacker()
        self._out = bytearray()
        self._stuck = False
        self._send_by = math.inf
        self.alone_since = _now()

    @property
    def alone(self) -> bool:
        """Whether there is no agent now."""
        return self._agent is None

    @property
    def unread(self) -> int:
        """Bytes said that the agent has not taken yet."""
        return len(self._out)

    def say(self, message: list[Any]) -> None:
        """Add a message for the agent, if there is one; `send` sends."""
        if self._agent is None:
            return
        if not self._out:
            self._send_by = _now() + HOLD
        self._out += _pack(message)

    def due(self) -> float:
        """When `send` should be called at the latest, by monotonic clock."""
        return self._send_by if self._out and not self._stuck else math.inf

    def send(self) -> None:
        """Send what the socket takes; the rest goes when it takes more."""
        if self._agent is None:
            return
        try:
            sent = self._agent.send(self._out, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop()
            return
        del self._out[:sent]
        if self._stuck != bool(self._out):
            self._stuck = not self._stuck
            self._poll.modify(self._agent, select.EPOLLIN | (select.EPOLLOUT if self._stuck else 0))

    def serve(self, fd: int, mask: int) -> bool:
        """Do what the poll asks for; False when the descriptor is none of ours."""
        if fd == self._listener.fileno():
            self.accept()
        elif self._agent is not None and fd == self._agent.fileno():
            if mask & select.EPOLLOUT:
                self.send()
            if mask & ~select.EPOLLOUT:
                self._receive()
        else:
            return False
        return True

    def accept(self) -> None:
        """Welcome whoever came, after all that the predecessor said is carried out."""
        while True:
            try:
                agent, _ = self._listener.accept()
            except BlockingIOError:
                return
            while self._receive():
                continue
            self._drop()
            agent.setblocking(False)
            self._agent = agent
            self._unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=_LONGEST)
            self._poll.register(agent, select.EPOLLIN)
            self.say(self._greeting())

    def _receive(self) -> bool:
        """Carry out what the agent has said; False when there is no more of it now."""
        if self._agent is None:
            return False
        try:
            data = self._agent.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._drop()
            return False
        self._unpacker.feed(data)
        for order in self._unpacker:
            self._carry_out(order)
        return True

    def _drop(self) -> None:
        if self._agent is not None:
            self._agent.close()  # which takes it out of the poll
        self._agent = None
        self._out.clear()
        self._stuck = False
        self.alone_since = _now()
