"""One request over http or https, and its answer: kept connections, redirects, what a status means."""

import http.client
import ssl
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message
from typing import NamedTuple
from urllib.parse import quote, urldefrag, urljoin

from scitq.fetch.bodies import Body
from scitq.fetch.connections import GONE, Connections, Line, trouble
from scitq.fetch.places import LEGAL, WEB, Address, address
from scitq.fetch.receiving import receive
from scitq.fetch.retries import busy
from scitq.fetch.storage import FetchError, NotThere, Refused, Watch
from scitq.fetch.uri import one_line

_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 10
_BLOCK = 1 << 18  # of an answer that is read whole
_MOST = 64 << 20  # bytes of such an answer; a page of a listing has about one


class Reply(NamedTuple):
    """An answer that is read whole."""

    status: int
    headers: Message  # names in any case
    body: bytes


class Answer:
    """What a server said, its body still to be read; to be closed."""

    def __init__(
        self,
        response: http.client.HTTPResponse,
        connections: Connections,
        line: Line,
        at: Address,
        watch: Watch,
        stall_s: float,
    ) -> None:
        self.status = response.status
        self.address = at  # after all redirects
        self._response = response
        self._connections = connections
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
        except (OSError, http.client.HTTPException) as error:
            raise trouble(error, self.address) from error
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
        if keep:
            self._connections.give(self.address, self._line)
        else:
            self._line.connection.close()

    def whole(self) -> Reply:
        """Read all that is still to come, up to 64 MiB, and close. Raises FetchError."""
        try:
            block = memoryview(bytearray(min(self._left, _BLOCK) if self._left is not None else _BLOCK))
            content = bytearray()
            while len(content) < _MOST and (count := self.into(block)):
                content += block[:count]
        finally:
            self.close()
        return Reply(self.status, self._response.headers, bytes(content))

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


class Web:
    """Whoever asks servers of the web; what it keeps open between two requests ends with it. For several threads."""

    def __init__(self, stall_s: float, ca_bundle: str = "") -> None:
        """`stall_s` without a byte ends a request; `ca_bundle` as `Connections` wants it."""
        self._stall_s = stall_s
        self._connections = Connections(ca_bundle)

    def ask(self, method: str, at: Address, headers: Mapping[str, str], watch: Watch) -> Answer:
        """Send a request without a body, follow redirects, and return the answer, whatever its status.

        Raises FetchError, also when a redirect leads from https to what is not encrypted.
        """
        headers = {"User-Agent": "scitq", "Accept": "*/*", **headers}
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self.send(method, at, headers, watch)
            to = answer.header("Location")
            if answer.status not in _REDIRECTS or not to:
                return answer
            answer.close()
            at = _redirected(at, to)
        raise FetchError(f"more than {_MOST_REDIRECTS} redirects", retry=False)

    def send(
        self, method: str, at: Address, headers: Mapping[str, str], watch: Watch, body: Body | None = None
    ) -> Answer:
        """Send a request, and return the answer of the server itself. Raises FetchError."""
        if at.user:
            headers = {"Authorization": at.authorization, **headers}
        try:
            while True:
                line = self._connections.take(at)
                try:
                    response = line.ask(method, at, headers, body, watch, self._stall_s)
                    return Answer(response, self._connections, line, at, watch, self._stall_s)
                except GONE:
                    line.connection.close()
                    if line.fresh:
                        raise
                    # A kept connection that the server has just closed: no failure, and the next is another one.
                except BaseException:
                    line.connection.close()
                    raise
        except (OSError, http.client.HTTPException) as error:
            raise trouble(error, at) from error


def _redirected(at: Address, to: str) -> Address:
    # http.client reads the bytes of a header as Latin-1.
    text = quote(to.encode("latin-1"), safe=LEGAL + "#")
    url = urldefrag(urljoin(at.text, text)).url
    scheme = url.partition("://")[0].lower()
    if scheme not in WEB:
        raise FetchError(f"redirected to {one_line(scheme)[:20]}, which is neither http nor https", retry=False)
    if at.scheme == "https" and scheme == "http":
        raise FetchError("redirected from https to http: refused", retry=False)
    new = address(scheme + url[len(scheme) :])
    return new._replace(user=at.user if new.origin == at.origin else "")


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
