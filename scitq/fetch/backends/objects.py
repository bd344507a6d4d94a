"""What S3 and Azure have in common: flat names in a bucket, of which a folder is but the beginning."""

import hashlib
import os
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count, groupby
from typing import BinaryIO, Self

from scitq.fetch.backends.parts import growing, in_parts, part_size
from scitq.fetch.backends.service import Found, Page, Service
from scitq.fetch.bodies import Body, Chunk, Slice
from scitq.fetch.nameless import place
from scitq.fetch.parallel import ahead
from scitq.fetch.partial import Partial
from scitq.fetch.settings import Settings
from scitq.fetch.storage import Entry, FetchError, NotThere, Refused, Watch

_MIB = 1 << 20
_IN_MEMORY = 4 * _MIB  # bytes of a file that is read whole before it is sent
_IN_ONE = 64 * _MIB  # bytes of a file that is moved by one request; larger ones by several at once
_IS_FOLDER = "is a folder (a trailing / means all that is in it)"
_CHANGED = "changed while it was read"


class Objects:
    """The `Storage` of one service."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings

    def stat(self, path: str) -> Entry:
        top, key = _split(path)
        if not key or key.endswith("/"):
            raise FetchError(_IS_FOLDER, retry=False)
        try:
            found = self._service.head(top, key)
        except NotThere:
            # Without the right to list, what is missing is just that.
            with suppress(Refused):
                if any(self._service.page(top, f"{key}/", "", flat=True, most=1).read()):
                    raise FetchError(_IS_FOLDER, retry=False) from None
            raise
        if found.folder:
            raise FetchError(_IS_FOLDER, retry=False)
        return _entry(posixpath.basename(key), found)

    def walk(self, path: str) -> Iterator[Entry]:
        for found, _, prefix in self._pages(path, flat=True):
            for one in found:
                name = one.key[len(prefix) :]
                if name and not one.folder:
                    yield _entry(name, one)

    def children(self, path: str) -> Iterator[Entry]:
        for found, inner, prefix in self._pages(path, flat=False):
            files = [_entry(one.key[len(prefix) :], one) for one in found if not one.folder]
            folders = [_named(Entry(folder[len(prefix) :], 0, "")) for folder in inner]
            yield from sorted((entry for entry in files + folders if entry.name), key=lambda entry: entry.name)

    def open(self, path: str) -> BinaryIO:
        from scitq.fetch.ranged import stream

        top, key = _file(path)
        entry = _entry("", self._service.head(top, key))
        headers = self._service.address_headers()
        return stream(self._service.web, lambda: self._service.address(top, key), entry, Watch(), headers=headers)

    def download(self, path: str, entry: Entry, target: str, watch: Watch) -> int:
        top, key = _file(path)
        watch.check()
        if 0 <= entry.size <= _IN_ONE and (found := self._service.blocks(top, key)) is not None:
            return self._download_small(top, key, found, entry, target, watch)
        from scitq.fetch.ranged import download

        if entry.md5:  # a listing may call an MD5 what is none
            entry = entry._replace(md5=self._service.head(top, key).md5)
        return download(
            self._service.web,
            lambda: self._service.address(top, key),
            entry,
            target,
            watch,
            headers=self._service.address_headers(),
            connections=self._settings.connections,
        )

    def upload(self, source: str, path: str, watch: Watch) -> int:
        top, key = _file(path)
        watch.check()
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            before = os.fstat(fd)

            def same() -> None:
                now = os.fstat(fd)
                if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                    raise FetchError(_CHANGED, retry=True)

            size = before.st_size
            if size <= _IN_MEMORY:
                content = os.pread(fd, size + 1, 0)
                if len(content) != size:
                    raise FetchError(_CHANGED, retry=True)
                same()
                self._service.put(top, key, Chunk(content, watch))
            elif size <= _IN_ONE:
                self._service.put(top, key, Slice(fd, 0, size, watch))
                same()
            else:
                step = part_size(size)
                parts = (Slice(fd, begin, min(begin + step, size), watch) for begin in range(0, size, step))
                with self._upload(top, key) as upload:
                    upload.store(parts, watch)
                    same()
        finally:
            os.close(fd)
        return size

    def write(self, content: BinaryIO, size: int, path: str, watch: Watch) -> int:
        top, key = _file(path)
        watch.check()
        fixed = part_size(size) if size >= 0 else None
        chunks = (_filled(content, fixed or growing(number)) for number in count(1))
        first = next(chunks)
        if len(first) < (fixed or growing(1)):
            _expect(len(first), size)
            self._service.put(top, key, Chunk(first, watch))
            return len(first)
        total = 0

        def parts() -> Iterator[Body]:
            nonlocal total
            chunk = first
            while chunk:
                total += len(chunk)
                yield Chunk(chunk, watch)
                chunk = next(chunks)

        with self._upload(top, key) as upload:
            upload.store(parts(), watch)
            _expect(total, size)
        return total

    def copy(self, source: str, path: str, watch: Watch) -> bool:
        watch.check()
        return self._service.copy(_file(source), _file(path), watch)

    def delete(self, paths: Iterable[str], watch: Watch) -> Iterator[tuple[str, str]]:
        for top, some in groupby(paths, key=lambda path: _split(path)[0]):
            for keys in _batches(path[len(top) + 1 :] for path in some):
                watch.check()
                for key, reason in self._service.delete(top, keys, watch):
                    yield f"{top}/{key}", reason

    def _pages(self, path: str, *, flat: bool) -> Iterator[tuple[list[Found], list[str], str]]:
        """The objects and folders of each page, and the prefix; the next page is on its way while one is read."""
        top, prefix = _split(path)
        if prefix and not prefix.endswith("/"):
            prefix += "/"
        there = not prefix
        for page in ahead(self._asked(top, prefix, flat=flat), 1, bundle_of=1):
            found, folders = page.read()
            there = there or bool(found or folders)
            yield found, folders, prefix
        if not there:
            reason = "no such folder"
            with suppress(NotThere, Refused):
                if self._service.head(top, prefix[:-1]).folder:
                    return
                reason = "is a file, not a folder"
            raise NotThere(reason, retry=False)

    def _asked(self, top: str, prefix: str, *, flat: bool) -> Iterator[Page]:
        more = ""
        while True:
            page = self._service.page(top, prefix, more, flat=flat)
            yield page
            more = page.more
            if not more:
                return

    def _download_small(
        self, top: str, key: str, content: tuple[str, int, Iterator[bytes]], entry: Entry, target: str, watch: Watch
    ) -> int:
        etag, size, blocks = content
        if entry.version != _version(etag) or entry.size != size:
            raise FetchError("is another one than was listed", retry=True)
        blocks = self._verified(top, key, blocks, entry, watch)
        if size <= _MIB:
            whole = b"".join(blocks)
            if len(whole) == size and place(whole, target, entry.modified):
                return size
            blocks = iter((whole,))
        with Partial(target, entry.version, size) as partial:
            at = 0
            try:
                for block in blocks:
                    os.pwrite(partial.fd, block, at)
                    partial.wrote(at, at + len(block))
                    at += len(block)
            except FetchError:
                partial.discard()  # the next time it comes from its beginning
                raise
            partial.finish(entry.modified)
        return at

    def _verified(self, top: str, key: str, blocks: Iterator[bytes], entry: Entry, watch: Watch) -> Iterator[bytes]:
        """The same blocks, counted; their end raises when they are not what the storage knows the MD5 of."""
        digest = hashlib.md5(usedforsecurity=False)
        for block in blocks:
            watch.moved(len(block))
            if entry.md5:
                digest.update(block)
            yield block
        # A listing may call an MD5 what is none: before it is called damage, the object itself is asked.
        if entry.md5 and digest.hexdigest() != entry.md5 and self._service.head(top, key).md5:
            raise FetchError("damaged on the way: its MD5 differs", retry=True)

    def _upload(self, top: str, key: str) -> "_Upload":
        return _Upload(self._service, top, key, self._settings)


class _Upload:
    """An object that comes in parts: whole when the block ends, without a trace when it fails."""

    def __init__(self, service: Service, top: str, key: str, settings: Settings) -> None:
        self._service = service
        self._at = (top, key)
        self._settings = settings
        self._tags: list[str] = []

    def __enter__(self) -> Self:
        self._id = self._service.begin(*self._at)
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        try:
            if failed is None:
                self._service.finish(*self._at, self._id, self._tags)
                return
        except BaseException:
            self._abort()
            raise
        self._abort()

    def store(self, parts: Iterable[Body], watch: Watch) -> None:
        def store(number: int, body: Body) -> str:
            return self._service.part(*self._at, self._id, number, body)

        self._tags = in_parts(parts, store, self._settings.connections, self._settings.tries, watch)

    def _abort(self) -> None:
        with suppress(FetchError):  # why the upload failed is the better story
            self._service.abort(*self._at, self._id)


def _split(path: str) -> tuple[str, str]:
    top, _, key = path.partition("/")
    return top, key


def _file(path: str) -> tuple[str, str]:
    top, key = _split(path)
    if not key or key.endswith("/"):
        raise FetchError("is a folder, no name of a file", retry=False)
    return top, key


def _entry(name: str, found: Found) -> Entry:
    entry = Entry(name, found.size, _version(found.etag), "", found.modified, found.md5, found.type)
    return _named(entry)


def _named(entry: Entry) -> Entry:
    """The entry, with the trouble when its name is no path inside the folder: it cannot be one on a disk either."""
    parts = entry.name.removesuffix("/").split("/") if not entry.version else entry.name.split("/")
    if "" in parts or "." in parts or ".." in parts or "\0" in entry.name:
        return entry._replace(trouble="has a name that is no path inside this folder")
    return entry


def _version(etag: str) -> str:
    """Listings of some write the quotes of an ETag, others not."""
    return f'etag:"{etag.strip(chr(34))}"' if etag else ""


def _filled(content: BinaryIO, size: int) -> bytearray:
    """The next bytes of a stream: `size`, fewer at its end."""
    buffer = bytearray(size)
    view = memoryview(buffer)
    at = 0
    while at < size and (block := content.read(min(_MIB, size - at))):
        view[at : at + len(block)] = block
        at += len(block)
    view.release()
    del buffer[at:]
    return buffer


def _expect(count: int, size: int) -> None:
    if size not in (-1, count):
        raise FetchError(f"{count} bytes of {size}", retry=True)


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    """A thousand at a time: what one request may delete."""
    batch: list[str] = []
    for key in keys:
        batch.append(key)
        if len(batch) == 1000:
            yield batch
            batch = []
    if batch:
        yield batch
