"""What an object storage must be able to do, for `objects.py` to make a `Storage` of it."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from scitq.fetch.bodies import Body
from scitq.fetch.storage import Watch
from scitq.fetch.web import Web


class Found(NamedTuple):
    """An object, as a listing or a look at it tells."""

    key: str
    size: int
    etag: str  # with or without its quotes
    modified: float | None = None
    md5: str = ""
    type: str = ""
    folder: bool = False  # a mark that some tools leave where they made a folder


class Page(NamedTuple):
    """Some of a listing, in order."""

    # Objects, and folders: whole prefixes, each with its final "/". Raises FetchError. What it takes may be as long
    # as the next page takes to come, which is asked for by then.
    read: Callable[[], tuple[list[Found], list[str]]]
    more: str  # what to ask the next page with; "" after the last


class Service(Protocol):
    """One provider's requests; each tries once, and raises FetchError. A `top` is a bucket or container."""

    web: Web  # asks its addresses

    def page(self, top: str, prefix: str, more: str, *, flat: bool, most: int = 0) -> Page:
        """What has this prefix: all, or (not `flat`) what the next `/` ends; `most` 0: as many as it likes."""

    def head(self, top: str, key: str) -> Found:
        """One object; its `md5` only when it is one of the content."""

    def blocks(self, top: str, key: str) -> tuple[str, int, Iterator[bytes]] | None:
        """A small object: its ETag, size and content; None when its address has to be used instead."""

    def address(self, top: str, key: str) -> str:
        """Where one object can be read with the headers that `address_headers` returns, for an hour."""

    def address_headers(self) -> Mapping[str, str]:
        """What to send with each request to such an address."""

    def put(self, top: str, key: str, body: Body) -> None:
        """Store an object in one request, whose content the storage checks by a digest."""

    def begin(self, top: str, key: str) -> str:
        """Begin an object that comes in parts; returns what names it."""

    def part(self, top: str, key: str, upload: str, number: int, body: Body) -> str:
        """Store a part, checked like `put`; returns what `finish` wants to know of it."""

    def finish(self, top: str, key: str, upload: str, tags: list[str]) -> None:
        """Make one object of the parts."""

    def abort(self, top: str, key: str, upload: str) -> None:
        """Throw the parts away."""

    def copy(self, source: tuple[str, str], target: tuple[str, str], watch: Watch) -> bool:
        """Copy an object to another top and key; False when it is too large for that."""

    def delete(self, top: str, keys: list[str], watch: Watch) -> Iterator[tuple[str, str]]:
        """Delete objects; each key with "" or why it is still there."""
