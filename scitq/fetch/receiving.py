"""Reading from a socket, with an ear for whoever ends the transfer."""

import select
import socket
import ssl
import time
from typing import cast

from scitq.fetch.storage import FetchError, Watch

_LOOK_S = 0.5  # between two looks at the watch while nothing comes


def receive(sock: socket.socket, view: memoryview, watch: Watch, stall_s: float) -> int:
    """Up to a viewful of bytes, 0 at the end of the stream; the socket's own timeout becomes short.

    Raises OSError, FetchError when nothing came for `stall_s` seconds, and as `Watch.check` does.
    """
    if sock.gettimeout() != _LOOK_S:
        sock.settimeout(_LOOK_S)
    since = 0.0
    while True:
        try:
            return _records(sock, view) if isinstance(sock, ssl.SSLSocket) else sock.recv_into(view)
        except TimeoutError:
            since = _still(since, watch, stall_s)


def _records(sock: ssl.SSLSocket, view: memoryview) -> int:
    """As many records as fit: each brings 16 KiB at most, for which the way through all layers is too long."""
    count = sock.recv_into(view)
    try:
        while 0 < count < len(view) and (more := cast("int", sock.read(len(view) - count, view[count:]))):
            count += more
    except OSError:
        pass  # the next call tells, what came counts
    return count


def await_answer(sock: socket.socket, watch: Watch, stall_s: float) -> None:
    """Wait until there is something to read, or the end. Raises as `receive` does."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    since = 0.0
    while not poll.poll(_LOOK_S * 1000):
        since = _still(since, watch, stall_s)


def _still(since: float, watch: Watch, stall_s: float) -> float:
    """Since when nothing has come, looked at after each short wait."""
    watch.check()
    now = time.monotonic()
    since = since or now - _LOOK_S
    if now - since >= stall_s:
        raise FetchError(f"stalled: nothing came for {stall_s:g} s", retry=True)
    return since
