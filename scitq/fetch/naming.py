"""From the text of an address to its storage, and from whatever goes wrong to one line that begins with its name."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from scitq.fetch.storage import Entry, FetchError, NotThere, Refused, Storage, storage_of, why
from scitq.fetch.uri import Role, Uri, UriError, one_line, parse, refusal, shown

# Trying again does not mend these.
_FINAL = {
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENOTEMPTY,
    errno.EPERM,
    errno.EROFS,
}


class Place:
    """An address that was found usable, and the storage behind it."""

    def __init__(self, uri: Uri, storage: Storage) -> None:
        self.uri = uri
        self.storage = storage
        self.is_local = uri.scheme == "file"
        self.is_folder = uri.is_folder
        self._top = str(uri._replace(path=self.path(""), actions=()))

    def at(self, path: str) -> "Place":
        """Another path of the same storage."""
        return Place(self.uri._replace(path=path), self.storage)

    def path(self, name: str) -> str:
        """The path of what `walk` and `children` call by this name."""
        top = self.uri.path
        return f"{top.rstrip('/')}/{name}" if top else name

    def address(self, name: str) -> str:
        """The whole address of what has this name."""
        if "|" not in name:  # nothing to be escaped: a million names are written fast
            return self._top + name
        return str(self.uri._replace(path=self.path(name), actions=()))


def place(text: str, role: Role) -> Place:
    """Where an address leads; raises FetchError, which does not name it, when it cannot be used in this role."""
    try:
        uri = parse(text)
    except UriError as error:
        raise FetchError(str(error).removeprefix(f"{shown(text)}: "), retry=False) from error
    if reason := refusal(uri, role):
        raise FetchError(reason, retry=False)
    return Place(uri, storage_of(uri))


def refuse_trouble(entry: Entry) -> None:
    """Raises FetchError for what is listed and cannot be read."""
    if entry.trouble:
        raise FetchError(f"{one_line(entry.name)} {entry.trouble}", retry=False)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Whatever goes wrong becomes one line that begins with the name."""
    told = shown(name)
    try:
        yield
    except FetchError as error:
        raise type(error)(f"{told}: {error.reason}", error.retry) from error
    except OSError as error:
        where = one_line(str(error.filename2 or error.filename or ""))
        beside = "" if told.endswith(where) else f" ({where})"
        kind = NotThere if isinstance(error, FileNotFoundError) else FetchError
        if isinstance(error, PermissionError):
            kind = Refused
        raise kind(f"{told}: {why(error)}{beside}", may_pass(error)) from error


def may_pass(error: BaseException) -> bool:
    """Whether another try may go on where this ended: a defect of ours, or an interruption, may pass too."""
    if isinstance(error, FetchError):
        return error.retry
    return not isinstance(error, OSError) or error.errno not in _FINAL
