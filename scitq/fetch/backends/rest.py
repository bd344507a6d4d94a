"""Requests to an object storage: connections that are kept, bodies and answers that are streamed."""

import http.client
import os
import socket
import ssl
import threading
from contextlib import suppress
from email.message import Message
from typing import NamedTuple
from urllib.parse import urlsplit

from scitq.fetch.backends.bodies import Body
from scitq.fetch.storage import FetchError, Refused, why
from scitq.fetch.uri import one_line

_BLOCK = 1 << 20
_CONNECT_S = 10.0
_LARGEST_ANSWER = 64 << 20  # bytes; a page of a listing has about one
_BROKEN = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError, http.client.BadStatusLine, ssl.SSLEOFError)


class Answer(NamedTuple):
    """What a storage says to one request."""

    status: int
    headers: Message  # names in any case
    body: bytes


class _Plain(http.client.HTTPConnection):
    """A connection that ends with the thread that keeps it."""

    def __del__(self) -> None:
        self.close()


class _Secure(http.client.HTTPSConnection):
    """The same over TLS."""

    def __del__(self) -> None:
        self.close()


class Host:
    """One endpoint; each thread has a connection of its own to it, which is kept between requests."""

    def __init__(self, endpoint: str, ca_bundle: str, stall_s: float) -> None:
        """`endpoint`: http(s)://HOST[:PORT]; `stall_s` without a byte ends a request."""
        parts = urlsplit(endpoint)
        self.name = parts.netloc
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        try:
            self._port = parts.port or (443 if self._secure else 80)
        except ValueError as error:
            raise FetchError(f"endpoint {one_line(endpoint)}: {error}", retry=False) from error
        self._context = _context(ca_bundle) if self._secure else None
        self._stall_s = stall_s
        self._proxy = _proxy(parts.scheme, self.name)
        self._kept = threading.local()

    def ask(self, method: str, target: str, headers: dict[str, str], body: Body | None = None) -> Answer:
        """One request, its answer read whole. Raises FetchError when none comes."""
        response = self._response(method, target, headers, body)
        try:
            content = response.read(_LARGEST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            self._forget()
            raise self._trouble(error) from error
        if response.will_close or not response.isclosed():
            self._forget()
        return Answer(response.status, response.headers, content)

    def _response(
        self, method: str, target: str, headers: dict[str, str], body: Body | None
    ) -> http.client.HTTPResponse:
        """Send, once more when a connection that was kept turns out to be gone."""
        while True:
            connection = getattr(self._kept, "connection", None)
            kept = connection is not None
            try:
                connection = connection or self._connected()
                try:
                    if body is None:
                        connection.request(method, target, headers=headers)
                    else:
                        sized = {**headers, "content-length": str(body.size)}
                        connection.request(method, target, body.opened(), sized)
                except _BROKEN:  # a storage that refuses may do so before it has read all
                    with suppress(OSError, http.client.HTTPException):
                        return self._last_words(connection)
                    raise
                return connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                self._forget()
                if not (kept and isinstance(error, _BROKEN)):
                    raise self._trouble(error) from error

    def _last_words(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        response = connection.getresponse()
        response.will_close = True
        return response

    def _connected(self) -> http.client.HTTPConnection:
        host, port = self._proxy or (self._host, self._port)
        if self._context is None:
            connection: http.client.HTTPConnection = _Plain(host, port, _CONNECT_S, blocksize=_BLOCK)
        else:
            connection = _Secure(host, port, timeout=_CONNECT_S, context=self._context, blocksize=_BLOCK)
        if self._proxy:
            connection.set_tunnel(self._host, self._port)
        connection.connect()
        connection.sock.settimeout(self._stall_s)
        self._kept.connection = connection
        return connection

    def _forget(self) -> None:
        connection = getattr(self._kept, "connection", None)
        self._kept.connection = None
        if connection is not None:
            connection.close()

    def _trouble(self, error: Exception) -> FetchError:
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"{self.name}: its certificate is not trusted: {error.verify_message}"
            return Refused(f"{reason} (ca_bundle in fetch.toml, or AWS_CA_BUNDLE, names authorities)", retry=False)
        if isinstance(error, socket.gaierror):
            return FetchError(f"{self.name}: no such host, or no name service: {why(error)}", retry=True)
        if isinstance(error, TimeoutError):
            return FetchError(f"{self.name}: no answer in time", retry=True)
        if isinstance(error, OSError):
            return FetchError(f"{self.name}: {one_line(why(error))}", retry=True)
        return FetchError(f"{self.name}: broke off: {one_line(str(error) or type(error).__name__)}", retry=True)


def _context(ca_bundle: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_bundle or None)
    except OSError as error:
        raise FetchError(f"{ca_bundle}: no certificates can be read there: {why(error)}", retry=False) from error


def _proxy(scheme: str, host: str) -> tuple[str, int] | None:
    """The proxy that the environment names for this host, as curl and the AWS tools heed it."""
    if not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass

    named = getproxies()
    proxy = named.get(scheme) or named.get("all")
    if not proxy or proxy_bypass(host):
        return None
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return (parts.hostname or "", parts.port or 80)
