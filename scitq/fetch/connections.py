"""Connections to web servers: kept for the next request, through proxies, over TLS, and what breaks on them."""

import http.client
import os
import socket
import ssl
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from functools import cache

from scitq.fetch.bodies import Body
from scitq.fetch.places import Address, address
from scitq.fetch.receiving import await_answer
from scitq.fetch.storage import FetchError, Refused, Watch, why
from scitq.fetch.uri import one_line

CONNECT_S = 30.0

# What a server that has just ended a connection makes of it.
GONE = (ConnectionError, http.client.BadStatusLine, ssl.SSLEOFError)

_BLOCK = 1 << 20
_MOST_IDLE = 16  # connections kept for each server
_AUTHORITIES = "authorities are named by SSL_CERT_FILE, of S3 by AWS_CA_BUNDLE too, or by ca_bundle in fetch.toml"

_Origin = tuple[str, str, int]
_Idle = dict[_Origin, list[http.client.HTTPConnection]]


class Line:
    """A connection that one request uses."""

    def __init__(self, connection: http.client.HTTPConnection, proxy: Address | None, fresh: bool) -> None:
        assert connection.sock is not None
        self.socket: socket.socket = connection.sock  # http.client forgets it when the server says it will close
        self.fresh = fresh
        self.connection = connection
        self._proxy = proxy

    def ask(
        self, method: str, at: Address, headers: Mapping[str, str], body: Body | None, watch: Watch, stall_s: float
    ) -> http.client.HTTPResponse:
        """Send a request, and wait for the head of its answer. Raises what sockets do, and as `Watch.check` does."""
        target, sent = at.target, dict(headers)
        if self._proxy is not None and at.scheme == "http":
            target = at.text
            if self._proxy.user:
                sent["Proxy-Authorization"] = self._proxy.authorization
        self.socket.settimeout(stall_s)
        if body is None:
            self.connection.request(method, target, headers=sent)
        else:
            sent["content-length"] = str(body.size)
            try:
                self.connection.request(method, target, body.opened(), sent)
            except GONE:  # who refuses may do so before all is read
                with suppress(OSError, http.client.HTTPException):
                    last_words = self.connection.getresponse()
                    last_words.will_close = True
                    return last_words
                raise
        await_answer(self.socket, watch, stall_s)
        return self.connection.getresponse()


class Connections:
    """Those that nobody uses just now, to any number of servers; they end with this. For several threads."""

    def __init__(self, ca_bundle: str = "") -> None:
        """`ca_bundle`: PEM file of the authorities to trust, "" for those of the system."""
        self._ca_bundle = ca_bundle
        self._idle: _Idle = {}
        self._proxies: dict[_Origin, Address | None] = {}
        self._guard = threading.Lock()
        # Not by __del__: the collector may end the sockets first.
        weakref.finalize(self, _close, self._idle)

    def take(self, at: Address) -> Line:
        """One that was kept, else a new one. Raises what sockets do, and FetchError."""
        with self._guard:
            if at.origin not in self._proxies:
                self._proxies[at.origin] = _proxy(at)
            proxy = self._proxies[at.origin]
            idle = self._idle.get(at.origin)
            kept = idle.pop() if idle else None
        if kept is not None:
            return Line(kept, proxy, fresh=False)
        host, port = (proxy.host, proxy.port) if proxy else (at.host, at.port)
        if at.scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=CONNECT_S, context=_context(self._ca_bundle), blocksize=_BLOCK
            )
            if proxy:
                said = {"Proxy-Authorization": proxy.authorization} if proxy.user else {}
                connection.set_tunnel(at.host, at.port, said)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=CONNECT_S, blocksize=_BLOCK)
        connection.connect()
        return Line(connection, proxy, fresh=True)

    def give(self, at: Address, line: Line) -> None:
        """Keep the connection that answered for the next request to the same server."""
        with self._guard:
            idle = self._idle.setdefault(at.origin, [])
            if line.connection.sock is not None and len(idle) < _MOST_IDLE:
                idle.append(line.connection)
                return
        line.connection.close()


def _close(idle: _Idle) -> None:
    for connection in (one for some in idle.values() for one in some):
        connection.close()


@cache
def _context(ca_bundle: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_bundle or None)
    except OSError as error:
        raise FetchError(f"{ca_bundle}: no certificates can be read there: {why(error)}", retry=False) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _proxy(at: Address) -> Address | None:
    """What http_proxy, https_proxy, all_proxy and no_proxy say, as curl and the AWS tools heed them."""
    if not any(name.lower().endswith("_proxy") and value for name, value in os.environ.items()):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    text = proxies.get(at.scheme) or proxies.get("all")
    if not text or proxy_bypass(f"{at.host}:{at.port}"):
        return None
    if "://" not in text:
        text = f"http://{text}"
    if not text.startswith("http://"):
        raise FetchError(f"{at.scheme}_proxy: only a proxy that begins with http:// can be used", retry=False)
    return address(text)


def trouble(error: OSError | http.client.HTTPException, at: Address) -> FetchError:
    """What broke on the way; of the address nothing but its server is told."""
    server = one_line(at.server)
    if isinstance(error, socket.gaierror):
        return FetchError(f"cannot find the host {one_line(at.host)}", retry=error.errno == socket.EAI_AGAIN)
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"{server}: its certificate is not trusted: {error.verify_message} ({_AUTHORITIES})"
        return Refused(reason, retry=False)
    if isinstance(error, TimeoutError):
        return FetchError(f"{server} does not answer", retry=True)
    if isinstance(error, OSError):
        return FetchError(f"{server}: {one_line(why(error))}", retry=True)
    said = "breaks off" if isinstance(error, http.client.IncompleteRead) else "does not answer as http"
    return FetchError(f"{server} {said}", retry=True)
