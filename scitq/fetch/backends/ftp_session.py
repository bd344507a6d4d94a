"""Conversations with FTP servers: login, names as bytes, one line for what goes wrong."""

import ftplib
import re
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from scitq.fetch.places import Place, place
from scitq.fetch.retries import busy
from scitq.fetch.settings import settings
from scitq.fetch.storage import FetchError, NotThere, Refused, why
from scitq.fetch.uri import one_line

CONNECT_S = 30.0

_CROWDED = re.compile(r"too many|maximum|max users|limit|try again|busy", re.IGNORECASE)
_DENIED = re.compile(r"permission|privilege|denied|not allowed|forbidden|read.?only", re.IGNORECASE)
_FULL = re.compile(r"space|quota|full", re.IGNORECASE)


class Session(ftplib.FTP):
    """A connection that is logged in; paths are those of the server, below where the login leads."""

    def __init__(self, server: Place) -> None:
        """Raises FetchError."""
        # Bytes in, bytes out: names are UTF-8 by habit, and whatever else where the files are older.
        super().__init__(timeout=CONNECT_S, encoding="latin-1")
        self._extended = True
        user, _, password = server.user.partition(":")
        with told(server.host):
            try:
                self.connect(server.host, server.port)
                assert self.sock is not None
                self.sock.settimeout(settings().stall_s)
                self._log_in(sent(user), sent(password))
                self.features = self._asked_features()
                if "UTF8" in self.features:
                    with suppress(ftplib.error_perm):
                        self.sendcmd("OPTS UTF8 ON")
                self.voidcmd("TYPE I")
                self._home = self.pwd()
            except BaseException:
                self.close()
                raise

    def path(self, path: str) -> str:
        """A path below where the login leads, as it is sent; one that begins with / is the server's own."""
        if "\n" in path or "\r" in path:
            raise FetchError("holds a line end, which FTP cannot send", retry=False)
        if path.startswith("/"):
            return sent(path)
        return f"{self._home.rstrip('/')}/{sent(path)}"

    def is_folder(self, path: str) -> bool:
        """Whether a path, as it is sent, is a folder that can be entered."""
        try:
            self.cwd(path)
        except ftplib.error_perm:
            return False
        return True

    def makepasv(self) -> tuple[str, int]:
        """EPSV, which passes any address translation; PASV where the server knows nothing else."""
        if self._extended:
            assert self.sock is not None
            try:
                return ftplib.parse229(self.sendcmd("EPSV"), self.sock.getpeername())  # noqa: S321 - what was asked for
            except ftplib.error_perm:
                self._extended = False
        return super().makepasv()

    def lines(self, command: str) -> list[str]:
        """What a command lists; not by ftplib's own way, which leaves the connection in text mode."""
        content = bytearray()
        with self.transfercmd(command) as connection:
            connection.settimeout(settings().stall_s)
            while block := connection.recv(1 << 16):
                content += block
        self.voidresp()
        return [line.removesuffix("\r") for line in content.decode(self.encoding).split("\n") if line]

    def usable(self) -> bool:
        """Whether nothing has come since the last answer: what comes unasked is a good-bye."""
        if self.sock is None:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def _log_in(self, user: str, password: str) -> None:
        try:
            self.login(user or "anonymous", password or ("" if user else "anonymous@"))
        except ftplib.error_perm as error:
            text = str(error)
            if _CROWDED.search(text):
                raise busy(f"the server is full ({one_line(text[:100])})", 0) from error
            raise Refused(
                f"login failed ({one_line(text[:100])}): USER:PASSWORD@ before the host", retry=False
            ) from error

    def _asked_features(self) -> set[str]:
        try:
            lines = self.sendcmd("FEAT").splitlines()[1:-1]
        except ftplib.error_perm:
            return set()
        return {line.strip().upper().split(" ")[0] for line in lines if line.strip()}


class Connections:
    """Those that are logged in and wait for the next call; for several threads."""

    def __init__(self) -> None:
        self._idle: dict[Place, list[Session]] = {}
        self._guard = threading.Lock()

    def close(self) -> None:
        """End them."""
        with self._guard:
            idle, self._idle = self._idle, {}
        for session in (one for some in idle.values() for one in some):
            session.close()

    __del__ = close

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

    @contextmanager
    def at(self, path: str) -> Iterator[tuple[Session, str]]:
        """A connection to the server of a path, for as long as the block takes, and the path there."""
        server, below = apart(path)
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


def apart(path: str) -> tuple[Place, str]:
    """The server, and the path there."""
    server, _, below = path.partition("/")
    return place(server, ftplib.FTP_PORT), below


def sent(text: str) -> str:
    """A name as ftplib sends it: one letter per byte."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def received(text: str) -> str:
    """The name that these bytes are; what is not UTF-8 is escaped as for a local disk."""
    return text.encode("latin-1").decode("utf-8", "surrogateescape")


@contextmanager
def told(host: str) -> Iterator[None]:
    """What goes wrong becomes a FetchError; of the address nothing but the host is told."""
    name = one_line(host)
    try:
        yield
    except FetchError:
        raise
    except ftplib.error_perm as error:
        raise refusal(str(error)) from error
    except ftplib.error_temp as error:
        text = str(error)
        if text.startswith("452"):
            raise FetchError("no room on the server", retry=False) from error
        raise busy(f"the server answers {one_line(text[:100])}", 0) from error
    except ftplib.Error as error:
        raise FetchError(f"{name} does not answer as FTP", retry=True) from error
    except EOFError as error:
        raise FetchError(f"{name} ended the connection", retry=True) from error
    except socket.gaierror as error:
        raise FetchError(f"cannot find the host {name}", retry=error.errno == socket.EAI_AGAIN) from error
    except TimeoutError as error:
        raise FetchError(f"{name} does not answer", retry=True) from error
    except OSError as error:
        raise FetchError(f"{name}: {why(error)}", retry=True) from error


def refusal(text: str) -> FetchError:
    """What an answer of the 500s means; 550 is given for everything, only its text differs."""
    said = one_line(text[:100])
    if text.startswith("552") or (text.startswith("55") and _FULL.search(text)):
        return FetchError(f"no room on the server ({said})", retry=False)
    if text.startswith(("530", "532", "553")) or _DENIED.search(text):
        return Refused(f"access is denied ({said})", retry=False)
    if text.startswith("550"):
        return NotThere(f"is not there ({said})", retry=False)
    return FetchError(f"the server answers {said}", retry=False)
