"""A way to a server that is cut in the middle: connections that pass so many bytes are reset."""

import selectors
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_RESET = struct.pack("ii", 1, 0)


class Cutting:
    """Passes bytes on to a port of this machine; the next `cuts` connections end after `after` bytes, both ways."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._guard = threading.Lock()
        self.port: int = self._listening.getsockname()[1]
        self.after = 0
        self.cuts = 0

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        passed = 0
        with client, socket.create_connection(("127.0.0.1", self._to)) as server, suppress(OSError):
            other = {client: server, server: client}
            with selectors.DefaultSelector() as ready:
                for one in other:
                    ready.register(one, selectors.EVENT_READ)
                while True:
                    for key, _ in ready.select():
                        one = client if key.fileobj is client else server
                        block = one.recv(1 << 16)
                        if not block:
                            return
                        other[one].sendall(block)
                        passed += len(block)
                        if passed >= self.after and self._cut():
                            for end in other:
                                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                            return

    def _cut(self) -> bool:
        with self._guard:
            self.cuts -= 1
            return self.cuts >= 0


@contextmanager
def cutting(port: int) -> Iterator[Cutting]:
    """Yields the way; nothing is cut until `cuts` says so."""
    way = Cutting(port)
    thread = threading.Thread(target=way.serve, daemon=True)
    thread.start()
    try:
        yield way
    finally:
        way.close()
        thread.join()
