"""A small http server that counts what it is asked for and what it sends, and can be held back inside a file."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

_BLOCK = 16 * 1024
_DRIP_S = 0.1


class CountingServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.gets: dict[str, int] = {}
        self.heads = 0
        self.sent = 0  # bytes of files
        self.most_at_once = 0
        self.slow_after: int | None = None  # bytes of each answer, before only a block comes now and then
        self.go_on = threading.Event()
        self.guard = threading.Lock()
        self.now = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients are killed here."""


@contextmanager
def counting_http() -> Iterator[CountingServer]:
    with CountingServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CountingServer

    def do_HEAD(self) -> None:
        with self.server.guard:
            self.server.heads += 1
        self._answer(body=False)

    def do_GET(self) -> None:
        server, path = self.server, unquote(self.path)
        with server.guard:
            server.gets[path] = server.gets.get(path, 0) + 1
            server.now += 1
            server.most_at_once = max(server.most_at_once, server.now)
        try:
            self._answer(body=True)
        finally:
            with server.guard:
                server.now -= 1

    def _answer(self, *, body: bool) -> None:
        server, path = self.server, unquote(self.path)
        content = server.files.get(path)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        begin, end = 0, len(content or b"")
        if asked:
            begin, end = int(asked[1]), min(end, int(asked[2] or end) + 1)
        self.send_response(404 if content is None else 206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(content or b'')}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", server.etags.get(path, '"1"'))
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        if body and content is not None:
            with suppress(OSError):
                self._pour(content[begin:end])

    def _pour(self, content: bytes) -> None:
        server = self.server
        for at in range(0, len(content), _BLOCK):
            if server.slow_after is not None and at >= server.slow_after:
                server.go_on.wait(_DRIP_S)
            block = content[at : at + _BLOCK]
            self.wfile.write(block)
            with server.guard:
                server.sent += len(block)

    def log_message(self, *_: object) -> None:
        pass
