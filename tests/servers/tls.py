"""TLS before a server that has none."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from tests.servers.certificate import Certificate


@contextmanager
def behind_tls(endpoint: str, certificate: Certificate) -> Iterator[str]:
    """Yields the https endpoint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    parts = urlsplit(endpoint)
    server = (str(parts.hostname), int(parts.port or 80))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, context, server), daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, context: ssl.SSLContext, server: tuple[str, int]) -> None:
    with suppress(OSError):
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=_serve, args=(plain, context, server), daemon=True).start()


def _serve(plain: socket.socket, context: ssl.SSLContext, server: tuple[str, int]) -> None:
    """What either side says is passed on, until one falls silent."""
    with (
        plain,
        suppress(OSError),
        context.wrap_socket(plain, server_side=True) as client,
        socket.create_connection(server) as behind,
    ):
        threading.Thread(target=_pour, args=(behind, client), daemon=True).start()
        _pour(client, behind)


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(1 << 16):
            target.sendall(block)
        target.shutdown(socket.SHUT_RDWR)
