"""One request over http or https, and its answer: kept connections, proxies, redirects, errors in one line."""

import http.client
import os
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import NamedTuple
from urllib.parse import quote, urldefrag, urljoin

from scitq.fetch.places import place
from scitq.fetch.receiving import await_answer, receive
from scitq.fetch.retries import busy
from scitq.fetch.storage import FetchError, NotThere, Refused, Watch, why
from scitq.fetch.uri import one_line

CONNECT_S = 30.0

_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 10
_MOST_IDLE = 16  # connections kept for each server
_LEGAL = "!$%&'()*+,/:;=?@[]~"  # besides letters, digits and -._ what a request line carries as it is
_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """Where a request goes."""

    scheme: str
    host: str
    port: int
    target: str  # path and query, as sent
    user: str = ""  # USER:PASSWORD, decoded

    @property
    def text(self) -> str:
        """The address without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.target}"

    @property
    def authorization(self) -> str:
        """The value of a header."""
        return f"Basic {b64encode(self.user.encode('utf-8', 'surrogateescape')).decode()}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom user and password are for."""
        return self.scheme, self.host, self.port


def address(text: str) -> Address:
    """Take an http or https address apart; what no request line can carry is percent-encoded, a % stays.

    Raises FetchError when it names no host, or a port that is none.
    """
    scheme, _, rest = text.partition("://")
    cut = next((at for at, letter in enumerate(rest) if letter in "/?#"), len(rest))
    host, port, user = place(rest[:cut], _PORTS[scheme])
    target = quote(rest[cut:].encode("utf-8", "surrogateescape"), safe=_LEGAL)
    if not target.startswith("/"):
        target = "/" + target
    return Address(scheme, host, port, target, user)


class Answer:
    """What a server said, its body still to be read; to be closed."""

    def __init__(
        self, response: http.client.HTTPResponse, line: "_Line", at: Address, watch: Watch, stall_s: float
    ) -> None:
        self.status = response.status
        self.address = at  # after all redirects
        self._response = response
        self._line = line
        self._watch = watch
        self._stall_s = stall_s
        self._left = response.length
        # The answer's head may have brought the beginning of its body; from there on the socket is read directly.
        self._buffered = True

    def header(self, name: str) -> str:
        """The value of a header; "" when it is not there."""
        return self._response.headers.get(name, "")

    @property
    def length(self) -> int:
        """Bytes of the body that are still to come, -1 when the server does not say."""
        return -1 if self._left is None else self._left

    def into(self, view: memoryview) -> int:
        """Fill the beginning of a view; returns how much, 0 at the end. Raises FetchError."""
        if self._left is not None:
            view = view[: self._left]
        if not view:
            return 0
        try:
            count = self._read(view)
        except (OSError, http.client.HTTPException):
            with _told(self.address):  # entered only now: TLS brings 16 KiB at a time
                raise
        if self._response.chunked:
            self._left = None if count else 0
        elif self._left is not None:
            if not count:
                raise FetchError(f"the connection ended {self._left} bytes early", retry=True)
            self._left -= count
        return count

    def close(self) -> None:
        """Keep the connection for the next request, when all was read and the server agrees."""
        keep = self._left == 0 and not self._response.will_close
        self._response.close()
        self._line.release(keep=keep)

    def refusal(self) -> FetchError:
        """What a status that is no success means."""
        status = self.status
        said = f"{status} {one_line(self._response.reason)}".strip()
        if status in {404, 410}:
            return NotThere(f"is not there ({said})", retry=False)
        if status == 401:
            return Refused(f"needs another user and password ({said}): USER:PASSWORD@ before the host", retry=False)
        if status == 403:
            return Refused(f"access is denied ({said})", retry=False)
        if status in {412, 416}:
            return FetchError("changed while it was read", retry=True)
        if status in {408, 425, 429} or (status >= 500 and status not in {501, 505}):
            return busy(f"the server answers {said}", _seconds(self.header("Retry-After")))
        return FetchError(f"the server answers {said}", retry=False)

    def _read(self, view: memoryview) -> int:
        if self._response.chunked:
            self._line.socket.settimeout(self._stall_s)
            self._watch.check()
            block = self._response.read1(len(view))
        elif not self._buffered or not (block := self._from_buffer(len(view))):
            return receive(self._line.socket, view, self._watch, self._stall_s)
        view[: len(block)] = block
        return len(block)

    def _from_buffer(self, most: int) -> bytes:
        """What came together with the head of the answer."""
        fp = self._response.fp
        self._line.socket.settimeout(0)  # an empty buffer would read from the socket, and wait
        held = b""
        with suppress(ssl.SSLWantReadError):
            held = fp.peek(1)
        self._buffered = len(held) > most
        return fp.read1(min(len(held), most)) if held else b""


def ask(
    method: str,
    at: Address,
    headers: Mapping[str, str],
    watch: Watch,
    stall_s: float,
    ca_bundle: str = "",
) -> Answer:
    """Send a request without a body, follow redirects, and return the answer, whatever its status.

    Raises FetchError, also when a redirect leads from https to what is not encrypted.
    """
    for _ in range(_MOST_REDIRECTS + 1):
        answer = _once(method, at, headers, watch, stall_s, ca_bundle)
        to = answer.header("Location")
        if answer.status not in _REDIRECTS or not to:
            return answer
        answer.close()
        at = _redirected(at, to)
    raise FetchError(f"more than {_MOST_REDIRECTS} redirects", retry=False)


class _Line:
    """A connection that is in use by one request."""

    def __init__(self, connection: http.client.HTTPConnection, key: tuple[object, ...], fresh: bool) -> None:
        self.connection = connection
        self.fresh = fresh
        self._key = key
        assert connection.sock is not None
        self.socket: socket.socket = connection.sock  # http.client forgets it when the server says it will close

    def release(self, keep: bool) -> None:
        with _guard:
            idle = _idle.setdefault(self._key, [])
            if keep and self.connection.sock is not None and len(idle) < _MOST_IDLE:
                idle.append(self.connection)
                return
        self.connection.close()


_idle: dict[tuple[object, ...], list[http.client.HTTPConnection]] = {}
_guard = threading.Lock()


def _once(
    method: str, at: Address, headers: Mapping[str, str], watch: Watch, stall_s: float, ca_bundle: str
) -> Answer:
    sent = {"User-Agent": "scitq", "Accept": "*/*", **headers}
    if at.user:
        sent.setdefault("Authorization", at.authorization)
    proxy = _proxy(at)
    target = at.target
    if proxy is not None and at.scheme == "http":
        target = at.text
        if proxy.user:
            sent["Proxy-Authorization"] = proxy.authorization
    with _told(at):
        while True:
            line = _line(at, proxy, ca_bundle)
            try:
                line.socket.settimeout(stall_s)
                line.connection.request(method, target, headers=sent)
                await_answer(line.socket, watch, stall_s)
                return Answer(line.connection.getresponse(), line, at, watch, stall_s)
            except (ConnectionError, http.client.BadStatusLine):
                line.release(keep=False)
                if line.fresh:
                    raise
                # A kept connection that the server has just closed: no failure, and the next is another one.
            except BaseException:
                line.release(keep=False)
                raise


def _line(at: Address, proxy: Address | None, ca_bundle: str) -> _Line:
    key = (at.origin, proxy, ca_bundle)
    with _guard:
        idle = _idle.get(key)
        kept = idle.pop() if idle else None
    if kept is not None:
        return _Line(kept, key, fresh=False)
    host, port = (proxy.host, proxy.port) if proxy else (at.host, at.port)
    if at.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=CONNECT_S, context=_context(ca_bundle)
        )
        if proxy:
            said = {"Proxy-Authorization": proxy.authorization} if proxy.user else {}
            connection.set_tunnel(at.host, at.port, said)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=CONNECT_S)
    connection.connect()
    return _Line(connection, key, fresh=True)


@cache
def _context(ca_bundle: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_bundle or None)
    except (OSError, ssl.SSLError) as error:
        raise FetchError(f"cannot read the certificates of {ca_bundle}: {why(error)}", retry=False) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _proxy(at: Address) -> Address | None:
    """What http_proxy, https_proxy, all_proxy and no_proxy say."""
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


def _redirected(at: Address, to: str) -> Address:
    # http.client reads the bytes of a header as Latin-1.
    text = quote(to.encode("latin-1"), safe=_LEGAL + "#")
    url = urldefrag(urljoin(at.text, text)).url
    scheme = url.partition("://")[0].lower()
    if scheme not in _PORTS:
        raise FetchError(f"redirected to {one_line(scheme)[:20]}, which is neither http nor https", retry=False)
    if at.scheme == "https" and scheme == "http":
        raise FetchError("redirected from https to http: refused", retry=False)
    new = address(scheme + url[len(scheme) :])
    return new._replace(user=at.user if new.origin == at.origin else "")


@contextmanager
def _told(at: Address) -> Iterator[None]:
    """What breaks on the way becomes a FetchError; nothing of the address but its host is told."""
    host = one_line(at.host)
    try:
        yield
    except FetchError:
        raise
    except socket.gaierror as error:
        raise FetchError(f"cannot find the host {host}", retry=error.errno == socket.EAI_AGAIN) from error
    except ssl.SSLCertVerificationError as error:
        raise FetchError(f"{host} has no valid certificate: {error.verify_message}", retry=False) from error
    except TimeoutError as error:
        raise FetchError(f"{host} does not answer", retry=True) from error
    except http.client.HTTPException as error:
        said = "breaks off" if isinstance(error, http.client.IncompleteRead) else "does not answer as http"
        raise FetchError(f"{host} {said}", retry=True) from error
    except OSError as error:
        raise FetchError(f"{host}: {why(error)}", retry=True) from error


def _seconds(text: str) -> float:
    """What a Retry-After header says: seconds, or a date."""
    if text.isascii() and text.isdigit():
        return float(text)
    if not text:
        return 0.0
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
