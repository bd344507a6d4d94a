"""Archives, read as streams and trusted in nothing.

They are unpacked into a folder that holds no link: links are made when all files are there, so nothing is
ever written through one, and they lead only to what lies in that folder.
"""

import bz2
import gzip
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from contextlib import suppress
from typing import IO, BinaryIO, cast

from isal.isal_zlib import IsalError

from scitq.fetch.storage import DEEPEST, FetchError, Watch
from scitq.fetch.uri import TAR_SUFFIXES, gunzipped, one_line, outside

_BLOCK = 1 << 20
_ENTRY_COST = 4096  # bytes an entry counts for at least: a bomb may as well be made of empty files
_NAME_LIMIT = 1 << 20  # bytes of a tar header that holds a name: the library reads it into memory
_NAMING = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_DAMAGE = (
    *(
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        lzma.LZMAError,
        zlib.error,
        cast("type[Exception]", IsalError),
    ),
    *(EOFError, ValueError, OverflowError, struct.error),
)


class Room:
    """How many bytes a download may become, all its actions together.

    By default 200 times its size, and at least 1 GiB.
    """

    def __init__(self, packed: int, limit: int | None, watch: Watch) -> None:
        self._limit = self._left = max(200 * packed, 1 << 30) if limit is None else limit
        self._watch = watch

    def take(self, count: int) -> None:
        """Use some of it; raises FetchError when there is no more, Stopped and TimedOut as the watch does."""
        self._left -= count
        if self._left < 0:
            raise FetchError(f"unpacks to more than {self._limit} bytes: refused as a bomb", retry=False)
        self._watch.check()


def unpacks(action: str, name: str) -> bool:
    """Whether the action is one that unpacks, and works on files of this name."""
    if action == "gunzip":
        return gunzipped(name) is not None
    return name.lower().endswith({"untar": TAR_SUFFIXES, "unzip": (".zip",)}.get(action, ()))


def unpack(action: str, stream: BinaryIO, name: str, folder: str, room: Room) -> None:
    """Unpack an archive into a folder that holds no link; unzip needs a stream that can seek.

    Raises OSError, and FetchError without the address.
    """
    try:
        if action == "gunzip":
            _gunzip(stream, os.path.join(folder, cast("str", gunzipped(name))), room)
        elif action == "untar":
            _untar(stream, name, folder, room)
        else:
            _unzip(stream, folder, room)
    except _DAMAGE as error:
        raise FetchError(f"damaged archive: {one_line(str(error))}", retry=False) from error
    except (NotImplementedError, RuntimeError) as error:  # zipfile: unknown compression, encryption
        raise FetchError(f"cannot be unpacked: {one_line(str(error))}", retry=False) from error


def _gunzip(stream: BinaryIO, target: str, room: Room) -> None:
    with _gzip(stream) as content:
        _write(content, target, 0o666, room)
        if content.mtime is None:  # the library takes nothing at all for an empty content
            raise EOFError("empty file")


def _untar(stream: BinaryIO, name: str, folder: str, room: Room) -> None:
    links: dict[str, str] = {}
    with _decompressed(stream, name.lower()) as content:
        with tarfile.open(fileobj=content, mode="r|", tarinfo=_Header) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # else all are kept, memory by the entry
                room.take(_ENTRY_COST)
                if member.isdir() and os.path.normpath(member.name) == ".":
                    continue
                target = _inside(folder, member.name)
                if member.isdir():
                    os.makedirs(target, exist_ok=True)
                elif member.issym():
                    links[target] = member.linkname
                elif member.islnk():
                    _hard_link(_inside(folder, member.linkname), target)
                elif member.isreg():
                    links.pop(target, None)
                    _write(cast("IO[bytes]", archive.extractfile(member)), target, member.mode, room)
                    with suppress(ValueError, OverflowError):  # a date that is none
                        os.utime(target, (member.mtime, member.mtime))
                else:
                    raise FetchError(f"{one_line(member.name)}: neither file, folder nor link", retry=False)
        while block := content.read(_BLOCK):  # to the end, where the checksum stands
            room.take(len(block))
    _make_links(folder, links)


def _unzip(stream: BinaryIO, folder: str, room: Room) -> None:
    links: dict[str, str] = {}
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            room.take(_ENTRY_COST)
            target = _inside(folder, member.filename)
            mode = member.external_attr >> 16
            kind = stat.S_IFMT(mode)
            if member.is_dir():
                os.makedirs(target, exist_ok=True)
            elif kind == stat.S_IFLNK:
                with archive.open(member) as content:
                    links[target] = os.fsdecode(content.read(os.pathconf("/", "PC_PATH_MAX")))
            elif kind in (0, stat.S_IFREG):
                links.pop(target, None)
                with archive.open(member) as content:
                    _write(content, target, stat.S_IMODE(mode) or 0o666, room)
            else:
                raise FetchError(f"{one_line(member.filename)}: neither file, folder nor link", retry=False)
    _make_links(folder, links)


class _Header(tarfile.TarInfo):
    """A header that raises when it is damaged, where the library would see the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf):
                raise tarfile.ReadError(str(error)) from error
            raise
        if header.type in _NAMING and header.size > _NAME_LIMIT:
            raise tarfile.ReadError("a name that is too long")
        return header


def _decompressed(stream: BinaryIO, name: str) -> IO[bytes] | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile:
    """The tar inside, by the end of the name; each reader checks the checksums of its format."""
    if name.endswith("gz"):
        return _gzip(stream)
    if name.endswith("bz2"):
        return bz2.BZ2File(stream)
    if name.endswith("xz"):
        return lzma.LZMAFile(stream)
    return stream


def _gzip(stream: BinaryIO) -> gzip.GzipFile:
    """As the standard library reads it, in less than half the time."""
    from isal.igzip import IGzipFile  # not at the start of every transfer

    return cast("gzip.GzipFile", IGzipFile(fileobj=stream))  # type: ignore[no-untyped-call]


def _inside(folder: str, name: str) -> str:
    if outside(name):
        raise FetchError(f"{one_line(name)}: an entry out of the folder", retry=False)
    path = os.path.normpath(name)
    if path.count("/") > DEEPEST:
        raise FetchError(f"an entry more than {DEEPEST} folders deep", retry=False)
    return os.path.join(folder, path)


def _write(content: IO[bytes] | gzip.GzipFile, target: str, mode: int, room: Room) -> None:
    """Write a new file, or in the place of an earlier entry; of its mode only rwx count, less the umask."""
    with open(_create(target, mode), "wb", buffering=0) as written:
        while block := content.read(_BLOCK):
            room.take(len(block))
            rest = memoryview(block)
            while rest:
                rest = rest[written.write(rest) :]


def _create(target: str, mode: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    mode = mode & 0o777 | 0o600
    try:
        return os.open(target, flags, mode)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target), exist_ok=True)
    except FileExistsError:
        os.unlink(target)
    return os.open(target, flags, mode)


def _hard_link(source: str, target: str) -> None:
    if not os.path.isfile(source):
        raise FetchError(f"{one_line(os.path.basename(target))}: a link to what is not there", retry=False)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.link(source, target)


def _make_links(folder: str, links: dict[str, str]) -> None:
    """Make symbolic links, their folders first: so each stands in a real folder, as deep as its name says.

    A target may climb, by `..` in front only, no higher than the top, and go down from there; whatever links
    it then meets obey the same rule, so that none leads out.
    """
    for path in links:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    for path, target in links.items():
        name = os.path.relpath(path, folder)
        steps = target.split("/")
        climb = next((i for i, step in enumerate(steps) if step != ".."), len(steps))
        if not target or target.startswith("/") or climb > name.count("/") or ".." in steps[climb:]:
            raise FetchError(f"{one_line(name)}: a link out of the folder", retry=False)
        os.symlink(target, path)
