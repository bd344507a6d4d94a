"""One file of an FTP server, by ranges."""

import ftplib
import socket
from contextlib import suppress

from scitq.fetch import pieces
from scitq.fetch.backends.ftp_looking import look, size_of
from scitq.fetch.backends.ftp_session import Connections, Session, apart, refusal, told
from scitq.fetch.receiving import receive
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, FetchError, NotThere, Refused, Watch


class Source:
    """The `Source` of one file."""

    def __init__(self, connections: Connections, path: str, entry: Entry, watch: Watch) -> None:
        self._connections = connections
        self._path = path
        self._server, self._below = apart(path)
        self._entry = entry
        self._watch = watch

    def open(self, begin: int, end: int) -> "_Piece":
        session = self._connections.take(self._server)
        try:
            with told(self._server.host):
                path = session.path(self._below)
                whole = not self._can_begin(session, begin)
                try:
                    connection, _ = session.ntransfercmd(f"RETR {path}", None if whole else begin or None)
                except ftplib.error_perm as error:
                    refused = refusal(str(error))
                    if isinstance(refused, NotThere) and size_of(session, path) >= 0:
                        raise Refused(f"cannot be read ({refused.reason})", retry=False) from error
                    raise
                return _Piece(self, session, connection, whole)
        except BaseException:
            session.close()
            raise

    def unchanged(self) -> None:
        version = self._entry.version
        # Told by somebody else, as ENA does of its files, it is for the digest to decide.
        if not version.startswith(("time:", "size:")):
            return
        with self._connections.at(self._path) as (session, below):
            found = look(session, below).version
        if found != version:
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
            self._connections.give(self._server, session)

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

    def __init__(self, source: Source, session: Session, connection: socket.socket, whole: bool) -> None:
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
