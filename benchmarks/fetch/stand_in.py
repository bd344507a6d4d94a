"""A local S3 that is faster than its clients, so that they are what is measured; it checks no signature.

`python -m benchmarks.fetch.stand_in FOLDER [CERTIFICATE KEY]` serves the buckets that are folders of FOLDER, and
prints its port. Objects are plain files; parts, all but the last of one size, are written where they belong.
Anything larger than 1 MiB gets an ETag that is no MD5, as S3 gives to what came in parts.
"""

import ctypes
import os
import shutil
import signal
import socket
import ssl
import sys
import threading
import uuid
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from benchmarks.fetch.listing import etag, page

PROCESSES = 2
BLOCK = 1 << 20
PAGE = 1000
NO_BODY = b""


class Connection:
    """One client, one request after the other."""

    def __init__(self, root: Path, plain: socket.socket, context: ssl.SSLContext | None) -> None:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._root = root
        self._tls = context is not None
        self._socket = context.wrap_socket(plain, server_side=True) if context else plain
        self._file = self._socket.makefile("rb", buffering=1 << 16)
        self._buffer = bytearray(BLOCK)

    def serve(self) -> None:
        """Until it hangs up."""
        with suppress(OSError, ValueError), self._socket:
            while line := self._file.readline():
                method, target, _ = line.decode("latin-1").split(" ", 2)
                headers = {}
                while (field := self._file.readline().strip()) != b"":
                    name, _, value = field.decode("latin-1").partition(":")
                    headers[name.lower()] = value.strip()
                self._answer(method, target, headers)

    def _answer(self, method: str, target: str, headers: dict[str, str]) -> None:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        path = self._root / bucket / key
        if "uploadId" in query or "uploads" in query:
            self._multipart(method, path, query, headers, f"{bucket}</Bucket><Key>{escape(key)}")
        elif method == "PUT" and not key:
            path.mkdir(exist_ok=True)
            self._say(200)
        elif method == "PUT":
            partial = path.parent / f".{uuid.uuid4().hex}"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._take(partial, 0, headers)
            partial.rename(path)
            self._say(200, {"ETag": etag(path)})
        elif method == "DELETE":
            path.unlink(missing_ok=True)
            self._say(204)
        elif not key:
            self._list(bucket, query) if "location" not in query else self._xml("<LocationConstraint/>")
        elif not path.is_file():
            body = b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"
            self._say(404, {"Content-Type": "application/xml"}, NO_BODY if method == "HEAD" else body)
        else:
            self._give(path, headers.get("range"), head=method == "HEAD")

    def _give(self, path: Path, asked: str | None, *, head: bool) -> None:
        status = path.stat()
        begin, end = 0, status.st_size
        fields = {
            "ETag": etag(path),
            "Last-Modified": formatdate(status.st_mtime, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(int(last) + 1 if last else end, end)
            fields["Content-Range"] = f"bytes {begin}-{end - 1}/{status.st_size}"
        fields["Content-Length"] = str(end - begin)
        self._say(206 if asked else 200, fields, None)
        if head:
            return
        with path.open("rb", buffering=0) as content:
            if not self._tls:
                while begin < end:
                    begin += os.sendfile(self._socket.fileno(), content.fileno(), begin, end - begin)
                return
            content.seek(begin)
            view = memoryview(self._buffer)
            while begin < end:
                count = content.readinto(view[: min(BLOCK, end - begin)])
                self._socket.sendall(view[:count])
                begin += count

    def _multipart(self, method: str, path: Path, query: dict[str, str], headers: dict[str, str], where: str) -> None:
        if "uploads" in query:
            upload = uuid.uuid4().hex
            path.parent.mkdir(parents=True, exist_ok=True)
            self._xml(
                f"<InitiateMultipartUploadResult><Bucket>{where}</Key><UploadId>{upload}</UploadId>"
                "</InitiateMultipartUploadResult>"
            )
            return
        folder = self._root / f".{query['uploadId']}"  # its file, and an empty file named after each size of a part
        whole = folder / "whole"
        if method == "PUT":
            size, number = int(headers["content-length"]), int(query["partNumber"])
            folder.mkdir(exist_ok=True)
            (folder / str(size)).touch()
            step = max(int(one.name) for one in folder.iterdir() if one != whole)  # the last part is never the first
            self._take(whole, (number - 1) * step, headers)
            self._say(200, {"ETag": f'"{number:032x}-1"'})
            return
        self._file.read(int(headers.get("content-length", "0")))
        if method == "POST":
            whole.rename(path)
        shutil.rmtree(folder, ignore_errors=True)
        self._xml(
            f"<CompleteMultipartUploadResult><Bucket>{where}</Key><ETag>{escape(etag(path))}</ETag>"
            "</CompleteMultipartUploadResult>"
        )

    def _take(self, path: Path, offset: int, headers: dict[str, str]) -> None:
        if "100-continue" in headers.get("expect", "").lower():
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        left = int(headers.get("content-length", "0"))
        view = memoryview(self._buffer)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), "wb", buffering=0) as content:
            content.seek(offset)
            while left:
                count = self._file.readinto(view[: min(BLOCK, left)])  # type: ignore[attr-defined]
                content.write(view[:count])
                left -= count

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        prefix = query.get("prefix", "")
        after = query.get("continuation-token") or query.get("start-after") or query.get("marker") or ""
        count = min(int(query.get("max-keys", PAGE)), PAGE)
        names, rows, more = page(self._root, bucket, prefix, after, sys.maxsize if query.get("delimiter") else count)
        if query.get("delimiter"):
            rests = [name[len(prefix) :].partition("/") for name in names]
            rows = [row for row, (_, slash, _) in zip(rows, rests, strict=True) if not slash]
            folders = dict.fromkeys(prefix + rest for rest, slash, _ in rests if slash)
            rows += [f"<CommonPrefixes><Prefix>{escape(one)}/</Prefix></CommonPrefixes>" for one in folders]
        last = escape(names[-1]) if more else ""
        self._xml(
            f"<ListBucketResult><Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(rows)}</KeyCount>"
            f"<MaxKeys>{count}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>"
            + (
                f"<NextContinuationToken>{last}</NextContinuationToken><NextMarker>{last}</NextMarker>"
                if more
                else ""
            )
            + "".join(rows)
            + "</ListBucketResult>"
        )

    def _xml(self, text: str) -> None:
        self._say(
            200, {"Content-Type": "application/xml"}, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
        )

    def _say(self, status: int, fields: dict[str, str] | None = None, body: bytes | None = NO_BODY) -> None:
        """`body` None: what follows is sent by the caller, who gives its length."""
        lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in (fields or {}).items())]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))


def main(folder: str, *certificate: str) -> None:
    """Serve until killed, from two processes that accept on one socket."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    parent = os.getpid()
    children = [os.fork() for _ in range(PROCESSES - 1) if os.getpid() == parent]
    if children and os.getpid() == parent:
        print(listener.getsockname()[1], flush=True)
    else:
        prctl = ctypes.CDLL(None).prctl
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    while True:
        plain, _ = listener.accept()
        threading.Thread(target=_serve, args=(Path(folder), plain, context), daemon=True).start()


def _serve(root: Path, plain: socket.socket, context: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        Connection(root, plain, context).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
