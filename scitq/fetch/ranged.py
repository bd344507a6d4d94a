"""A file brought over http or https by ranges: what https:// addresses, and signed ones of object storages, share."""

import re
import threading
from collections.abc import Callable, Mapping
from typing import BinaryIO

from scitq.fetch import pieces
from scitq.fetch.places import Address, address
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, FetchError, Refused, Watch
from scitq.fetch.web import Answer, Web

Signed = Callable[[], str]  # a fresh address, asked for again when the one before is refused

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.ASCII)


def download(
    web: Web,
    url: Signed,
    entry: Entry,
    target: str,
    watch: Watch,
    *,
    headers: Mapping[str, str] | None = None,
    connections: int | None = None,
) -> int:
    """Bring the file that `entry` tells of to a local path, as `Storage.download` says; returns the bytes that moved.

    `headers` go with every request; `connections` for a large file, as set by default. A broken range is tried
    again here. Raises OSError, and FetchError without the address.
    """
    source = _File(web, url, entry, headers or {}, watch)
    most = settings().connections if connections is None else connections
    return pieces.bring(source, entry, target, watch, connections=most, tries=settings().tries)


def stream(
    web: Web, url: Signed, entry: Entry, watch: Watch, *, headers: Mapping[str, str] | None = None
) -> BinaryIO:
    """The content, to be read once; a broken connection is made again where it broke. Reading raises FetchError."""
    return pieces.stream(_File(web, url, entry, headers or {}, watch), entry.size, watch, settings().tries)


def version_of(answer: Answer, size: int) -> str:
    """The version of what an answer tells of: by its ETag, else its date, else no more than its size."""
    if etag := answer.header("ETag"):
        return f"etag:{etag}"
    if date := answer.header("Last-Modified"):
        return f"date:{date}:{size}"
    return f"size:{size}"


class _File:
    """The `Source` of one address."""

    def __init__(self, web: Web, url: Signed, entry: Entry, headers: Mapping[str, str], watch: Watch) -> None:
        self._web = web
        self._url = url
        self._entry = entry
        self._headers = dict(headers)
        self._watch = watch
        self._at: Address | None = None  # where the last redirect led
        self._first = ""  # the version that the first answer told
        self._guard = threading.Lock()
        tag = entry.version.removeprefix("etag:")
        if tag != entry.version and not tag.startswith("W/"):  # a weak one never matches
            self._headers["If-Match"] = tag if tag.startswith('"') else f'"{tag}"'

    def open(self, begin: int, end: int) -> "_Piece":
        headers = self._headers
        ranged = begin > 0 or end not in (-1, self._entry.size)
        if ranged:
            headers = headers | {"Range": f"bytes={begin}-{end - 1 if end >= 0 else ''}"}
        answer = self._asked(headers)
        try:
            whole = self._is_whole(answer, begin, ranged)
            self._compare(answer)
        except BaseException:
            answer.close()
            raise
        return _Piece(answer, whole)

    def unchanged(self) -> None:
        """Each answer was looked at."""

    def _asked(self, headers: Mapping[str, str]) -> Answer:
        at = self._at
        while True:
            used, at = at, None
            answer = self._web.ask("GET", used or address(self._url()), headers, self._watch)
            if answer.status in {200, 206}:
                self._at = answer.address
                return answer
            error = answer.refusal()
            answer.close()
            # The signature may be too old by now, or the redirect may lead elsewhere: once more from the beginning.
            if used is None or not (isinstance(error, Refused) or answer.status in {404, 410}):
                raise error

    def _is_whole(self, answer: Answer, begin: int, ranged: bool) -> bool:
        """Whether all comes; checks that it is what was asked for, of the size that was told before."""
        size = self._entry.size
        told = _CONTENT_RANGE.fullmatch(answer.header("Content-Range"))
        if told is None:
            if answer.status == 206:
                raise FetchError("the server does not say which bytes it sends", retry=True)
            if size >= 0 <= answer.length != size:
                raise FetchError("changed while it was read", retry=True)
            return True
        # Some servers send the range that was asked for, and say 200.
        if not ranged or int(told[1]) != begin:
            raise FetchError("the server sends other bytes than it was asked for", retry=True)
        if size >= 0 and told[3] not in ("*", str(size)):
            raise FetchError("changed while it was read", retry=True)
        return False

    def _compare(self, answer: Answer) -> None:
        expected = self._entry.version
        found = version_of(answer, self._entry.size)
        if not expected.startswith(("etag:", "date:")):
            # Behind one name there may be several servers, each with its own idea; the digest decides.
            if self._entry.md5:
                return
            with self._guard:
                expected = self._first = self._first or found
        if found.partition(":")[0] == expected.partition(":")[0] and _bare(found) != _bare(expected):
            raise FetchError("changed while it was read", retry=True)


class _Piece:
    def __init__(self, answer: Answer, whole: bool) -> None:
        self.whole = whole
        self.into = answer.into
        self.close = answer.close


def _bare(version: str) -> str:
    return version.replace('"', "").replace("etag:W/", "etag:")
