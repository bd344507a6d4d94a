"""A small http server that does what servers should not: cut, reset, stall, lie about ranges, change its files."""

import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Fault(NamedTuple):
    """What happens to one GET."""

    status: int = 0  # answered instead of the file
    headers: tuple[tuple[str, str], ...] = ()  # beside the usual ones
    after: int | None = None  # bytes of the body, before …
    end: str = "cut"  # cut, reset, stall
    whole: bool = False  # the whole file with 200, whatever range was asked for
    chunked: bool = False


class FaultyServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.etag = '"1"'
        self.modified = "Sun, 06 Nov 1994 08:49:37 GMT"
        self.redirects: dict[str, str] = {}
        self.refuse_head = 0  # the status that answers HEAD
        self.range_status = 206
        self.always = Fault()
        self.faults: deque[Fault | None] = deque()  # each GET takes one; None: nothing happens to it
        self.asked: list[tuple[str, str, dict[str, str]]] = []  # method, target, headers
        self.over = threading.Event()
        self.host = f"127.0.0.1:{self.server_address[1]}"

    def ranges(self) -> list[str]:
        """The ranges that were asked for, "" for a whole file."""
        return [headers.get("range", "") for method, _, headers in self.asked if method == "GET"]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what this server is for."""


@contextmanager
def faulty_http() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body together, as real servers send them
    server: FaultyServer

    def do_HEAD(self) -> None:
        self._answer(Fault(status=self.server.refuse_head) if self.server.refuse_head else self.server.always)

    def do_GET(self) -> None:
        fault = self.server.faults.popleft() if self.server.faults else None
        self._answer(fault or self.server.always)

    def _answer(self, fault: Fault) -> None:
        server = self.server
        headers = {name.lower(): value for name, value in self.headers.items()}
        server.asked.append((self.command, self.path, headers))
        content = server.files.get(self.path)
        if self.path in server.redirects:
            fault = Fault(status=302, headers=(("Location", server.redirects[self.path]),))
        begin, end, status = 0, len(content or b""), fault.status or 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
        if content is None and not fault.status:
            status = 404
        elif headers.get("if-match", server.etag) != server.etag:
            status = 412
        elif asked and not fault.whole and status == 200:
            begin, end, status = int(asked[1]), min(end, int(asked[2] or end) + 1), 206
        body = (content or b"")[begin:end] if status in (200, 206) else b"no"
        self.send_response(server.range_status if status == 206 else status)
        for name, value in fault.headers:
            self.send_header(name, value)
        if status == 206:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(content or b'')}")
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.modified:
            self.send_header("Last-Modified", server.modified)
        if fault.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.chunked:
            body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:1000], body[1000:]) if p) + b"0\r\n\r\n"
        if fault.after is None:
            self.wfile.write(body)
            return
        self.wfile.write(body[: fault.after])
        self.wfile.flush()
        self.close_connection = True
        if fault.end == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif fault.end == "stall":
            with suppress(OSError):
                server.over.wait(300)

    def log_message(self, *_: object) -> None:
        pass
