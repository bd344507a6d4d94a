"""A way to a server that is held back in the middle: past so many bytes nothing more comes until it is let go.

`python -m tests.servers.holding FROM TO AFTER` listens on port FROM of 127.0.0.1, in whatever network it is started,
and passes on to port TO; each connection brings AFTER bytes until the end of standard input.
"""

import os
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from tests.sources import ROOT


class Holding:
    """The way, as a process of its own."""

    def __init__(self, come_from: int, to: int, after: int, within: Sequence[str]) -> None:
        words = [*within, sys.executable, "-m", "tests.servers.holding", str(come_from), str(to), str(after)]
        self._process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def let_go(self) -> None:
        """Hold nothing back any more."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def holding(come_from: int, to: int, after: int, within: Sequence[str] = ()) -> Iterator[Holding]:
    """Yields the way; `within`: words that start a program in another network."""
    way = Holding(come_from, to, after, within)
    try:
        yield way
    finally:
        way.end()


def _pass_on(client: socket.socket, to: int, after: int, let_go: threading.Event) -> None:
    came = 0
    with client, socket.create_connection(("127.0.0.1", to)) as server, suppress(OSError):
        other = {client: server, server: client}
        with selectors.DefaultSelector() as ready:
            for one in other:
                ready.register(one, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    one = client if key.fileobj is client else server
                    if one is server and came >= after:
                        let_go.wait()
                    block = one.recv(1 << 16)
                    if not block:
                        return
                    other[one].sendall(block)
                    came += len(block) if one is server else 0


def main() -> None:
    come_from, to, after = map(int, sys.argv[1:])
    let_go = threading.Event()

    def serve(listening: socket.socket) -> None:
        while True:
            client, _ = listening.accept()
            threading.Thread(target=_pass_on, args=(client, to, after, let_go), daemon=True).start()

    listening = socket.create_server(("127.0.0.1", come_from), backlog=64)
    threading.Thread(target=serve, args=(listening,), daemon=True).start()
    os.write(1, b"ready\n")
    while os.read(0, 1):
        pass
    let_go.set()
    threading.Event().wait()


if __name__ == "__main__":
    main()
