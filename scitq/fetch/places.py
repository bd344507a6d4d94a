"""Servers as addresses name them: who asks whom, and on the web for what. Pure."""

from base64 import b64encode
from typing import NamedTuple
from urllib.parse import quote, unquote

from scitq.fetch.storage import FetchError
from scitq.fetch.uri import one_line

WEB = {"http": 80, "https": 443}  # the schemes of the web, and the port that is meant where none is written
LEGAL = "!$%&'()*+,/:;=?@[]~"  # besides letters, digits and -._ what a request line carries as it is


class Place(NamedTuple):
    """A server, and who asks it."""

    host: str
    port: int
    user: str  # USER or USER:PASSWORD, decoded; "" for nobody in particular


def place(text: str, port: int) -> Place:
    """Take `[USER[:PASSWORD]@]HOST[:PORT]` apart; `port` is meant where none is written.

    Characters of user and password may be percent-encoded, as `@` and `/` have to be. Raises FetchError.
    """
    user, _, host = text.rpartition("@")
    written = ""
    if host.startswith("["):
        host, _, written = host[1:].partition("]")
        written = written.removeprefix(":")
    elif ":" in host:
        host, _, written = host.rpartition(":")
    if written:
        if not written.isascii() or not written.isdigit() or int(written[:6]) not in range(1, 65536):
            raise FetchError(f"{one_line(written)} is no port", retry=False)
        port = int(written)
    try:
        host = host.lower() if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        host = ""
    if not host or any(not letter.isprintable() or letter == " " for letter in host):
        raise FetchError("names no host", retry=False)
    return Place(host, port, unquote(user, errors="surrogateescape"))


class Address(NamedTuple):
    """Where a request goes."""

    scheme: str
    host: str
    port: int
    target: str  # path and query, as sent
    user: str = ""  # USER:PASSWORD, decoded

    @property
    def server(self) -> str:
        """HOST, or HOST:PORT where the port is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == WEB[self.scheme] else f"{host}:{self.port}"

    @property
    def text(self) -> str:
        """The address without user and password."""
        return f"{self.scheme}://{self.server}{self.target}"

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
    host, port, user = place(rest[:cut], WEB[scheme])
    target = quote(rest[cut:].encode("utf-8", "surrogateescape"), safe=LEGAL)
    if not target.startswith("/"):
        target = "/" + target
    return Address(scheme, host, port, target, user)
