"""An S3 that answers what a test tells it to, and keeps what it was asked: for what no real server says here."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str  # not decoded
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes


class Told(NamedTuple):
    """One answer."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def error(status: int, code: str, rest: str = "") -> Told:
    return Told(status, (), f"<Error><Code>{code}</Code><Message>it is so</Message>{rest}</Error>".encode())


class ToldS3(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Callable[[Asked], Told]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.asked: list[Asked] = []
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may hang up."""


@contextmanager
def told_s3(answer: Callable[[Asked], Told]) -> Iterator[ToldS3]:
    with ToldS3(answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ToldS3

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        asked = Asked(
            self.command, parts.path, query, {name.lower(): value for name, value in self.headers.items()}, body
        )
        self.server.asked.append(asked)
        told = self.server.answer(asked)
        self.send_response(told.status)
        for name, value in told.headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in told.headers):
            self.send_header("Content-Length", str(len(told.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(told.body)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Quiet."""
