"""What changes something on an FTP server."""

import ftplib
import posixpath
from typing import BinaryIO

from scitq.fetch.backends.ftp_looking import size_of
from scitq.fetch.backends.ftp_session import Session, refusal
from scitq.fetch.settings import settings
from scitq.fetch.storage import FetchError, NotThere, Refused, Watch

_BLOCK = 1 << 20
_SENT = 64 << 10  # bytes in one call: the time a server may take is counted for each


def send(session: Session, partial: str, content: BinaryIO, watch: Watch) -> int:
    """Store a stream under a new name, folders made; returns its bytes."""
    path = session.path(partial)
    try:
        connection = session.transfercmd(f"STOR {path}")
    except ftplib.error_perm as error:
        if not str(error).startswith("55"):
            raise
        make_folders(session, posixpath.dirname(path))
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


def make_folders(session: Session, folder: str) -> None:
    """Make a folder, and those it is in."""
    if session.is_folder(folder or "/"):
        return
    make_folders(session, posixpath.dirname(folder))
    try:
        session.mkd(folder)
    except ftplib.error_perm:
        if not session.is_folder(folder):  # another thread may have made it
            raise


def rename(session: Session, partial: str, path: str) -> None:
    """Give a file its name, in the place of what has it."""
    try:
        session.rename(partial, path)
    except ftplib.error_perm as error:
        if session.is_folder(path):
            raise FetchError("is a folder", retry=False) from error
        try:
            size_of(session, path)
        except NotThere:
            raise refusal(str(error)) from error
        session.delete(path)  # a server that replaces nothing
        session.rename(partial, path)


def remove(session: Session, below: str) -> None:
    """Delete a file. Raises NotThere when there is none, Refused when it stays."""
    path = session.path(below)
    try:
        session.delete(path)
    except ftplib.error_perm as error:
        size_of(session, path)  # NotThere: there is nothing left to do
        refused = refusal(str(error))
        raise (Refused(refused.reason, retry=False) if isinstance(refused, NotThere) else refused) from error
