"""Files behind http and https: read only, and without listings.

Proxies are those of http_proxy, https_proxy, all_proxy and no_proxy; certificates those of the system, or of
SSL_CERT_FILE. A user and a password may stand before the host: `https://USER:PASSWORD@host/…`.
"""

import base64
import binascii
import posixpath
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NoReturn

from scitq.fetch import ranged
from scitq.fetch.places import Address, address
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, FetchError, Watch
from scitq.fetch.uri import Uri
from scitq.fetch.web import Answer, Web


class Backend:
    """The `Storage` of http:// and https://."""

    def __init__(self, uri: Uri) -> None:
        self._scheme = uri.scheme
        self._by_aria2 = "aria2" in uri.options
        self._web = Web(settings().stall_s)

    def stat(self, path: str) -> Entry:
        at = self._address(path)
        name = posixpath.basename(path.partition("/")[2].partition("?")[0])
        if name in {"", ".", ".."}:
            raise FetchError("ends in no file name", retry=False)
        watch = Watch()
        answer = self._web.ask("HEAD", at, {}, watch)
        answer.close()
        if answer.status == 200:
            return _entry(name, answer, _number(answer.header("Content-Length")))
        if answer.status not in {400, 401, 403, 405, 501}:
            raise answer.refusal()
        # An address that is signed for GET, or a server that knows nothing else.
        answer = self._web.ask("GET", at, {"Range": "bytes=0-0"}, watch)
        answer.close()
        if answer.status == 206:
            return _entry(name, answer, _number(answer.header("Content-Range").rpartition("/")[2]))
        if answer.status == 416 and answer.header("Content-Range") == "bytes */0":
            return _entry(name, answer, 0)
        if answer.status != 200:
            raise answer.refusal()
        return _entry(name, answer, _number(answer.header("Content-Length")))

    def walk(self, path: str) -> Iterator[Entry]:
        raise FetchError(f"{self._scheme} has no listing: name each file", retry=False)

    children = walk

    def open(self, path: str) -> BinaryIO:
        return ranged.stream(self._web, lambda: self._url(path), self.stat(path), Watch())

    def download(self, path: str, entry: Entry, target: str, watch: Watch) -> int:
        if self._by_aria2:
            from scitq.fetch import aria2

            at = self._address(path)
            return aria2.download(at.text, at.user, entry, target, watch)
        return ranged.download(self._web, lambda: self._url(path), entry, target, watch)

    def upload(self, source: str, path: str, watch: Watch) -> int:
        self._refuse("stored")

    def write(self, content: BinaryIO, size: int, path: str, watch: Watch) -> int:
        self._refuse("stored")

    def copy(self, source: str, path: str, watch: Watch) -> bool:
        self._refuse("stored")

    def delete(self, paths: Iterable[str], watch: Watch) -> Iterator[tuple[str, str]]:
        self._refuse("deleted")

    def _url(self, path: str) -> str:
        return f"{self._scheme}://{path}"

    def _address(self, path: str) -> Address:
        return address(self._url(path))

    def _refuse(self, what: str) -> NoReturn:
        raise FetchError(f"nothing can be {what} by {self._scheme}", retry=False)


def _entry(name: str, answer: Answer, size: int) -> Entry:
    return Entry(
        name,
        size,
        ranged.version_of(answer, size),
        modified=_time(answer.header("Last-Modified")),
        md5=_md5(answer.header("Content-MD5")) if answer.status == 200 else "",
        type=answer.header("Content-Type").partition(";")[0].strip(),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else -1


def _time(text: str) -> float | None:
    """Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`."""
    from email.utils import mktime_tz, parsedate_tz

    parsed = parsedate_tz(text)
    try:
        return float(mktime_tz(parsed)) if parsed else None
    except (ValueError, OverflowError):
        return None


def _md5(text: str) -> str:
    try:
        digest = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return ""
    return digest.hex() if len(digest) == 16 else ""
