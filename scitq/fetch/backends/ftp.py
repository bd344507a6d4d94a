"""Files on FTP servers: `ftp://[USER:PASSWORD@]host[:port]/path`, below the folder where the login leads.

A path with two slashes after the host (`ftp://host//data/x`) begins at the server's own root. FTP knows no digests:
what was stored is compared by size, what was fetched by size and time.
"""

import ftplib
import os
import posixpath
import socket
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import BinaryIO, NamedTuple
from urllib.parse import quote

from scitq.fetch import pieces
from scitq.fetch.backends import ftp_listing
from scitq.fetch.backends.ftp_session import Session, received, refusal, told
from scitq.fetch.partial import NOT_WHOLE, beside
from scitq.fetch.places import Place, place
from scitq.fetch.receiving import receive
from scitq.fetch.settings import settings
from scitq.fetch.storage import DEEPEST, Entry, FetchError, NotThere, Refused, Watch
from scitq.fetch.uri import Uri

_BLOCK = 1 << 20
_SENT = 64 << 10  # bytes in one call: the time a server may take is counted for each
_AHEAD = 100  # questions asked before the first answer is read

_FOLDER = "is a folder (a trailing / means all that is in it)"


class Backend:
    """The `Storage` of ftp://; keeps its connections for the next call."""

    def __init__(self, uri: Uri) -> None:
        self._top = uri.path.rstrip("/")
        self._by_aria2 = "aria2" in uri.options
        self._idle: dict[Place, list[Session]] = {}
        self._guard = threading.Lock()

    def close(self) -> None:
        """End the connections that are kept."""
        for session in (one for idle in self._idle.values() for one in idle):
            session.close()

    __del__ = close

    def stat(self, path: str) -> Entry:
        with self._session(path) as (session, below):
            return _stat(session, below)

    def walk(self, path: str) -> Iterator[Entry]:
        with self._session(path) as (session, below):
            yield from _walk(session, _entered(session, below), "", 0)

    def children(self, path: str) -> Iterator[Entry]:
        with self._session(path) as (session, below):
            for one in _sorted(session, _entered(session, below)):
                yield Entry(one.name + "/", -1, "", one.trouble) if one.is_folder else one.entry("")

    def open(self, path: str) -> BinaryIO:
        entry = self.stat(path)
        watch = Watch()
        return pieces.stream(_Source(self, path, entry, watch), entry.size, watch, settings().tries)

    def download(self, path: str, entry: Entry, target: str, watch: Watch) -> int:
        if self._by_aria2:
            from scitq.fetch import aria2

            server, below = _apart(path)
            host = f"[{server.host}]" if ":" in server.host else server.host
            name = quote(below.encode("utf-8", "surrogateescape"))
            url = f"ftp://{host}:{server.port}/{name.replace('/', '%2F', 1) if below.startswith('/') else name}"
            return aria2.download(url, server.user, entry, target, watch)
        source = _Source(self, path, entry, watch)
        return pieces.bring(source, entry, target, watch, connections=settings().connections, tries=settings().tries)

    def upload(self, source: str, path: str, watch: Watch) -> int:
        with open(source, "rb") as content:
            before = os.fstat(content.fileno())
            with self._stored(path, content, watch) as count:
                after = os.fstat(content.fileno())
                if (count, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                    raise FetchError("changed while it was read", retry=True)
        with self._session(path) as (session, below):
            if "MFMT" in session.features:
                stamp = datetime.fromtimestamp(before.st_mtime, UTC).strftime("%Y%m%d%H%M%S")
                with suppress(ftplib.error_perm):  # its time is not what was asked for
                    session.sendcmd(f"MFMT {stamp} {session.path(below)}")
        return count

    def write(self, content: BinaryIO, size: int, path: str, watch: Watch) -> int:
        with self._stored(path, content, watch) as count:
            if size not in {-1, count}:
                raise FetchError(f"{count} bytes of {size}", retry=True)
        return count

    def copy(self, source: str, path: str, watch: Watch) -> bool:
        return False

    def delete(self, paths: Iterable[str], watch: Watch) -> Iterator[tuple[str, str]]:
        """Folders in which nothing is left go too, up to the one asked for."""
        emptied = set[str]()
        for path in paths:
            watch.check()
            yield path, self._delete(path)
            while (path := posixpath.dirname(path)).startswith(f"{self._top}/") or path == self._top:
                emptied.add(path)
        for folder in sorted(emptied, key=len, reverse=True):
            with self._session(folder) as (session, below), suppress(ftplib.error_perm):  # something is in it
                session.rmd(session.path(below))

    def _delete(self, path: str) -> str:
        """Why it is still there."""
        try:
            with self._session(path) as (session, below):
                _delete(session, below)
        except NotThere:
            return ""
        except FetchError as error:
            if error.retry:
                raise
            return error.reason
        return ""

    @contextmanager
    def _stored(self, path: str, content: BinaryIO, watch: Watch) -> Iterator[int]:
        """Send content to a name of its own; it takes its place when the block that checks it is left."""
        with self._session(path) as (session, below):
            if not posixpath.basename(below):
                raise FetchError("ends in no file name", retry=False)
            partial = f"{beside(below)}-{uuid.uuid4().hex[:16]}"
            try:
                count = _send(session, partial, content, watch)
                stored = _size(session, session.path(partial))
                if stored not in {-1, count}:
                    raise FetchError(f"the server has {stored} bytes of {count}", retry=True)
                yield count
                _rename(session, session.path(partial), session.path(below))
            except BaseException:
                self._forget(path, partial)
                raise

    def _forget(self, path: str, partial: str) -> None:
        """Remove what was not finished, by another connection: this one may be in the middle of something."""
        with suppress(FetchError), self._session(path) as (session, _):
            session.delete(session.path(partial))

    @contextmanager
    def _session(self, path: str) -> Iterator[tuple[Session, str]]:
        """A connection to the server of a path, for as long as the block takes, and the path there."""
        server, below = _apart(path)
        session = self.take(server)
        try:
            with told(server.host):
                yield session, below
        except (NotThere, Refused):
            self.give(server, session)  # an answer like any other
            raise
        except BaseException:
            session.close()
            raise
        self.give(server, session)

    def take(self, server: Place) -> Session:
        """A connection that nobody else uses meanwhile. Raises FetchError."""
        while True:
            with self._guard:
                idle = self._idle.get(server)
                session = idle.pop() if idle else None
            if session is None:
                return Session(server)
            if session.usable():
                return session
            session.close()

    def give(self, server: Place, session: Session) -> None:
        """Keep a connection that has had its last answer."""
        with self._guard:
            self._idle.setdefault(server, []).append(session)


class _Source:
    """The `Source` of one file."""

    def __init__(self, backend: Backend, path: str, entry: Entry, watch: Watch) -> None:
        self._backend = backend
        self._path = path
        self._server, self._below = _apart(path)
        self._entry = entry
        self._watch = watch

    def open(self, begin: int, end: int) -> "_Piece":
        session = self._backend.take(self._server)
        try:
            with told(self._server.host):
                path = session.path(self._below)
                whole = not self._can_begin(session, begin)
                try:
                    connection, _ = session.ntransfercmd(f"RETR {path}", None if whole else begin or None)
                except ftplib.error_perm as error:
                    refused = refusal(str(error))
                    if isinstance(refused, NotThere) and _size(session, path) >= 0:
                        raise Refused(f"cannot be read ({refused.reason})", retry=False) from error
                    raise
                return _Piece(self, session, connection, whole)
        except BaseException:
            session.close()
            raise

    def unchanged(self) -> None:
        told = self._entry.version
        # Told by somebody else, as ENA does of its files, it is for the digest to decide.
        if told.startswith(("time:", "size:")) and self._backend.stat(self._path).version != told:
            raise FetchError("changed while it was read", retry=True)

    def receive(self, connection: socket.socket, view: memoryview) -> int:
        return receive(connection, view, self._watch, settings().stall_s)

    def settle(self, session: Session, complete: bool) -> None:
        """Take a connection back after a transfer."""
        try:
            if not complete:
                with suppress(ftplib.error_temp, ftplib.error_perm):  # it was cut: so be it
                    session.voidresp()
        except (ftplib.Error, EOFError, OSError):
            session.close()
        else:
            self._backend.give(self._server, session)

    @property
    def host(self) -> str:
        return self._server.host

    def _can_begin(self, session: Session, begin: int) -> bool:
        """Whether the server can begin anywhere; a small file is not worth the question."""
        if not begin and self._entry.size < pieces.LARGE:
            return True
        try:
            session.sendcmd(f"REST {begin}")
        except ftplib.error_perm:
            return False
        return True


class _Piece:
    """A data connection."""

    def __init__(self, source: _Source, session: Session, connection: socket.socket, whole: bool) -> None:
        self.whole = whole
        self._source = source
        self._session = session
        self._connection = connection
        self._complete = False

    def into(self, view: memoryview) -> int:
        if self._complete or not view:
            return 0
        with told(self._source.host):
            count = self._source.receive(self._connection, view)
            if not count:
                self._connection.close()
                self._session.voidresp()  # an end that the server takes for none is an error here
                self._complete = True
        return count

    def close(self) -> None:
        self._connection.close()
        self._source.settle(self._session, self._complete)


class _Line(NamedTuple):
    """What a folder holds under one name."""

    name: str
    found: ftp_listing.Found
    stamp: str
    trouble: str

    @property
    def is_folder(self) -> bool:
        return self.found.kind == "folder"

    def entry(self, prefix: str) -> Entry:
        if self.trouble:
            return Entry(prefix + self.name, 0, "", self.trouble)
        modified = ftp_listing.time_of(self.stamp) if self.stamp else self.found.modified
        size = self.found.size
        return Entry(prefix + self.name, size, _version(size, self.stamp), modified=modified)


def _apart(path: str) -> tuple[Place, str]:
    server, _, below = path.partition("/")
    return place(server, ftplib.FTP_PORT), below


def _version(size: int, stamp: str) -> str:
    return f"time:{stamp}:{size}" if stamp else f"size:{size}"


def _stat(session: Session, below: str) -> Entry:
    path = session.path(below)
    try:
        size = _size(session, path)
    except NotThere:
        if session.is_folder(path):
            raise FetchError(_FOLDER, retry=False) from None
        raise
    if size < 0 and session.is_folder(path):
        raise FetchError(_FOLDER, retry=False)
    (stamp,) = _stamps(session, [path])
    name = posixpath.basename(below)
    return Entry(name, size, _version(size, stamp), modified=ftp_listing.time_of(stamp))


def _size(session: Session, path: str) -> int:
    """-1 when this server does not tell sizes."""
    try:
        return session.size(path) or 0
    except ftplib.error_perm as error:
        if str(error).startswith("550"):
            raise refusal(str(error)) from error
        return -1


def _stamps(session: Session, paths: Sequence[str]) -> list[str]:
    """When files were written, "" where the server does not tell; many questions are on their way at once."""
    stamps = []
    assert session.sock is not None
    for first in range(0, len(paths), _AHEAD):
        some = paths[first : first + _AHEAD]
        session.sock.sendall("".join(f"MDTM {path}\r\n" for path in some).encode("latin-1"))
        for _ in some:
            try:
                stamps.append(ftp_listing.stamp_of(session.getresp()[3:]))
            except ftplib.error_perm:
                stamps.append("")
    return stamps


def _entered(session: Session, below: str) -> str:
    """The path of a folder. Raises NotThere, and FetchError when it is none."""
    path = session.path(below.rstrip("/") if below.strip("/") else below)
    try:
        session.cwd(path)
    except ftplib.error_perm as error:
        is_file = False
        with suppress(NotThere):
            is_file = _size(session, path) >= 0
        if is_file:
            raise NotThere("is a file, not a folder", retry=False) from error
        raise
    return path.rstrip("/")


def _walk(session: Session, folder: str, prefix: str, depth: int) -> Iterator[Entry]:
    for one in _sorted(session, folder):
        if not one.is_folder or one.trouble:
            yield one.entry(prefix)
        elif depth >= DEEPEST:
            yield Entry(prefix + one.name, 0, "", f"is more than {DEEPEST} folders deep")
        else:
            try:
                session.cwd(f"{folder}/{one.found.name}")
            except ftplib.error_perm as error:
                yield Entry(prefix + one.name, 0, "", refusal(str(error)).reason)
                continue
            yield from _walk(session, f"{folder}/{one.found.name}", f"{prefix}{one.name}/", depth + 1)


def _sorted(session: Session, folder: str) -> list[_Line]:
    """What is in the folder that was entered, so that the names of whole trees come in order."""
    lines = []
    found = [one for one in _listed(session) if not NOT_WHOLE.fullmatch(one.name)]
    unknown = [one for one in found if one.kind != "folder" and not one.stamp]
    asked = _stamps(session, [f"{folder}/{one.name}" for one in unknown])
    stamps = {one.name: stamp for one, stamp in zip(unknown, asked, strict=True)}
    for one in found:
        name, trouble = received(one.name), ""
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            trouble = "is no name that a file can have here"
        stamp = one.stamp or stamps.get(one.name, "")
        if one.kind == "link" or (one.kind == "file" and one.size < 0):
            try:
                size = _size(session, f"{folder}/{one.name}")
                one = one._replace(kind="file", size=size)  # noqa: PLW2901
            except NotThere:
                trouble = "is a link to a folder, or leads nowhere"
        lines.append(_Line(name, one, stamp, trouble))
    return sorted(lines, key=lambda line: line.name + "/" if line.is_folder else line.name)


def _listed(session: Session) -> list[ftp_listing.Found]:
    if "MLST" in session.features or "MLSD" in session.features:
        return [found for line in session.lines("MLSD") if (found := ftp_listing.mlsd(line))]
    now = datetime.now(UTC)
    lines: list[str] = []
    for command in ("LIST -a", "LIST"):  # not every server knows -a, without which hidden files are not told
        with suppress(ftplib.error_perm):
            lines = session.lines(command)
        if lines:
            break
    listed = [found for line in lines if (found := ftp_listing.unix(line, now))]
    if not listed and any(line[:1] in "-0123456789" for line in lines):
        raise FetchError("this server's listings cannot be read: name each file", retry=False)
    return listed


def _send(session: Session, partial: str, content: BinaryIO, watch: Watch) -> int:
    """Store a stream under a new name, folders made; returns its bytes."""
    path = session.path(partial)
    try:
        connection = session.transfercmd(f"STOR {path}")
    except ftplib.error_perm as error:
        if not str(error).startswith("55"):
            raise
        _make_folders(session, posixpath.dirname(path))
        connection = session.transfercmd(f"STOR {path}")
    count = 0
    with connection:
        connection.settimeout(settings().stall_s)
        while block := content.read(_BLOCK):
            rest = memoryview(block)
            while rest:
                rest = rest[connection.send(rest[:_SENT]) :]
            count += len(block)
            watch.moved(len(block))
    session.voidresp()
    return count


def _make_folders(session: Session, folder: str) -> None:
    if session.is_folder(folder or "/"):
        return
    _make_folders(session, posixpath.dirname(folder))
    try:
        session.mkd(folder)
    except ftplib.error_perm:
        if not session.is_folder(folder):  # another thread may have made it
            raise


def _rename(session: Session, partial: str, path: str) -> None:
    try:
        session.rename(partial, path)
    except ftplib.error_perm as error:
        if session.is_folder(path):
            raise FetchError("is a folder", retry=False) from error
        try:
            _size(session, path)
        except NotThere:
            raise refusal(str(error)) from error
        session.delete(path)  # a server that replaces nothing
        session.rename(partial, path)


def _delete(session: Session, below: str) -> None:
    path = session.path(below)
    try:
        session.delete(path)
    except ftplib.error_perm as error:
        _size(session, path)  # NotThere: there is nothing left to do
        refused = refusal(str(error))
        raise (Refused(refused.reason, retry=False) if isinstance(refused, NotThere) else refused) from error
