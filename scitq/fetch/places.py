"""The part of an address between :// and the path: who asks, whom. Pure."""

from typing import NamedTuple
from urllib.parse import unquote

from scitq.fetch.storage import FetchError
from scitq.fetch.uri import one_line


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
