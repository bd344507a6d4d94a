"""Files on FTP servers: `ftp://[USER:PASSWORD@]host[:port]/path`, below the folder where the login leads.

A path with two slashes after the host (`ftp://host//data/x`) begins at the server's own root. FTP knows no digests:
what was stored is compared by size, what was fetched by size and time.
"""

import ftplib
import os
import posixpath
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import BinaryIO
from urllib.parse import quote

from scitq.fetch import pieces
from scitq.fetch.backends.ftp_looking import entered, in_order, look, size_of, walk
from scitq.fetch.backends.ftp_reading import Source
from scitq.fetch.backends.ftp_session import Connections, apart
from scitq.fetch.backends.ftp_storing import remove, rename, send
from scitq.fetch.partial import beside
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, FetchError, NotThere, Watch
from scitq.fetch.uri import Uri


class Backend:
    """The `Storage` of ftp://; keeps its connections for the next call."""

    def __init__(self, uri: Uri) -> None:
        self._top = uri.path.rstrip("/")
        self._by_aria2 = "aria2" in uri.options
        self._connections = Connections()

    def close(self) -> None:
        """End the connections that are kept."""
        self._connections.close()

    def stat(self, path: str) -> Entry:
        with self._connections.at(path) as (session, below):
            return look(session, below)

    def walk(self, path: str) -> Iterator[Entry]:
        with self._connections.at(path) as (session, below):
            yield from walk(session, entered(session, below))

    def children(self, path: str) -> Iterator[Entry]:
        with self._connections.at(path) as (session, below):
            for one in in_order(session, entered(session, below)):
                yield Entry(one.name + "/", -1, "", one.trouble) if one.is_folder else one.entry("")

    def open(self, path: str) -> BinaryIO:
        entry = self.stat(path)
        watch = Watch()
        return pieces.stream(Source(self._connections, path, entry, watch), entry.size, watch, settings().tries)

    def download(self, path: str, entry: Entry, target: str, watch: Watch) -> int:
        if self._by_aria2:
            from scitq.fetch import aria2

            server, below = apart(path)
            host = f"[{server.host}]" if ":" in server.host else server.host
            name = quote(below.encode("utf-8", "surrogateescape"))
            url = f"ftp://{host}:{server.port}/{name.replace('/', '%2F', 1) if below.startswith('/') else name}"
            return aria2.download(url, server.user, entry, target, watch)
        source = Source(self._connections, path, entry, watch)
        return pieces.bring(source, entry, target, watch, connections=settings().connections, tries=settings().tries)

    def upload(self, source: str, path: str, watch: Watch) -> int:
        with open(source, "rb") as content:
            before = os.fstat(content.fileno())
            with self._stored(path, content, watch) as count:
                after = os.fstat(content.fileno())
                if (count, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                    raise FetchError("changed while it was read", retry=True)
        with self._connections.at(path) as (session, below):
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
            with self._connections.at(folder) as (session, below), suppress(ftplib.error_perm):  # something is in it
                session.rmd(session.path(below))

    def _delete(self, path: str) -> str:
        """Why it is still there."""
        try:
            with self._connections.at(path) as (session, below):
                remove(session, below)
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
        with self._connections.at(path) as (session, below):
            if not posixpath.basename(below):
                raise FetchError("ends in no file name", retry=False)
            partial = f"{beside(below)}-{uuid.uuid4().hex[:16]}"
            try:
                count = send(session, partial, content, watch)
                stored = size_of(session, session.path(partial))
                if stored not in {-1, count}:
                    raise FetchError(f"the server has {stored} bytes of {count}", retry=True)
                yield count
                rename(session, session.path(partial), session.path(below))
            except BaseException:
                self._forget(path, partial)
                raise

    def _forget(self, path: str, partial: str) -> None:
        """Remove what was not finished, by another connection: this one may be in the middle of something."""
        with suppress(FetchError), self._connections.at(path) as (session, _):
            session.delete(session.path(partial))
