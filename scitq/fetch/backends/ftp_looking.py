"""What FTP servers tell of files and folders, asked as few times as can be."""

import ftplib
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from scitq.fetch.backends import ftp_listing
from scitq.fetch.backends.ftp_session import Session, received, refusal
from scitq.fetch.partial import NOT_WHOLE
from scitq.fetch.storage import DEEPEST, Entry, FetchError, NotThere

_AHEAD = 100  # questions asked before the first answer is read


class Line(NamedTuple):
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


def _version(size: int, stamp: str) -> str:
    return f"time:{stamp}:{size}" if stamp else f"size:{size}"


def look(session: Session, below: str) -> Entry:
    """A single file. Raises NotThere, and FetchError when it is a folder."""
    path = session.path(below)
    try:
        size = size_of(session, path)
    except NotThere:
        if session.is_folder(path):
            raise FetchError("is a folder (a trailing / means all that is in it)", retry=False) from None
        raise
    if size < 0 and session.is_folder(path):
        raise FetchError("is a folder (a trailing / means all that is in it)", retry=False)
    (stamp,) = _stamps(session, [path])
    name = posixpath.basename(below)
    return Entry(name, size, _version(size, stamp), modified=ftp_listing.time_of(stamp))


def size_of(session: Session, path: str) -> int:
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


def entered(session: Session, below: str) -> str:
    """The path of a folder. Raises NotThere, and FetchError when it is none."""
    path = session.path(below.rstrip("/") if below.strip("/") else below)
    try:
        session.cwd(path)
    except ftplib.error_perm as error:
        is_file = False
        with suppress(NotThere):
            is_file = size_of(session, path) >= 0
        if is_file:
            raise NotThere("is a file, not a folder", retry=False) from error
        raise
    return path.rstrip("/")


def walk(session: Session, folder: str, prefix: str = "", depth: int = 0) -> Iterator[Entry]:
    """All files below the folder that was entered, in the order of their whole names."""
    for one in in_order(session, folder):
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
            yield from walk(session, f"{folder}/{one.found.name}", f"{prefix}{one.name}/", depth + 1)


def in_order(session: Session, folder: str) -> list[Line]:
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
                size = size_of(session, f"{folder}/{one.name}")
                one = one._replace(kind="file", size=size)  # noqa: PLW2901
            except NotThere:
                trouble = "is a link to a folder, or leads nowhere"
        lines.append(Line(name, one, stamp, trouble))
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
