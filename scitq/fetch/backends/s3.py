"""S3, of Amazon or of anyone else who speaks its protocol."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

from scitq.fetch.backends.accounts import S3Access, s3_access
from scitq.fetch.backends.answers import NO_STORAGE, Row, apart, escaped, http_time, listed, parsed, refusal
from scitq.fetch.backends.doors import Doors
from scitq.fetch.backends.objects import Objects
from scitq.fetch.backends.service import Found, Page
from scitq.fetch.backends.signing import Request, encoded, s3_headers, s3_target, utc_now
from scitq.fetch.bodies import Body, Chunk
from scitq.fetch.places import Address, address
from scitq.fetch.settings import Settings, settings
from scitq.fetch.storage import FetchError, NotThere, Refused, Watch
from scitq.fetch.uri import Uri, one_line
from scitq.fetch.web import Reply, Web

_EMPTY = hashlib.sha256(b"").hexdigest()
_FOLDERS = frozenset({"CommonPrefixes"})
_ERRORS = frozenset({"Error"})
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_LARGEST_COPY = 5 << 30  # bytes that one request may copy
_LASTING = timedelta(hours=1)


class Backend(Objects):
    """The `Storage` of s3://bucket/key."""

    def __init__(self, uri: Uri) -> None:
        chosen = settings()
        access = s3_access(uri.options[0] if uri.options else "", chosen)
        super().__init__(S3(access, chosen), chosen)


class S3:
    """The requests, as `Service` tells them."""

    def __init__(self, access: S3Access, chosen: Settings) -> None:
        self.web = Web(chosen.stall_s, access.ca_bundle)
        self._watch = Watch()
        self._access = access
        self._servers: dict[str, Address] = {}  # by endpoint
        self._native = Doors()
        self._regions: dict[str, str] = {}  # of a bucket, when it told us so

    def page(self, top: str, prefix: str, more: str, *, flat: bool, most: int = 0) -> Page:
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        if not flat:
            query["delimiter"] = "/"
        if more:
            query["continuation-token"] = more
        if most:
            query["max-keys"] = str(most)
        content, rest = apart(self._ask("GET", top, query=query).body, "Contents")
        behind, others = parsed(rest, _FOLDERS)
        url_encoded = others.get("EncodingType") == "url"

        def read() -> tuple[list[Found], list[str]]:
            found: list[Found] = []
            folders: list[str] = []
            try:
                for row in listed(content, "Contents", _FOLDERS) + behind:
                    if row[""] == "Contents":
                        found.append(_listed(row, url_encoded=url_encoded))
                    else:
                        folders.append(unquote_plus(row["Prefix"]) if url_encoded else row["Prefix"])
            except (KeyError, ValueError) as error:
                raise FetchError(NO_STORAGE, retry=False) from error
            return found, folders

        truncated = others.get("IsTruncated") == "true"
        return Page(read, others.get("NextContinuationToken", "") if truncated else "")

    def head(self, top: str, key: str) -> Found:
        try:
            reply = self._ask("HEAD", top, key)
        except NotThere:
            raise
        except FetchError as error:
            if error.retry:
                raise
            # The answer to HEAD has no body to say why; a GET that fails alike has.
            self._ask("GET", top, key, headers={"range": "bytes=0-0"})
            raise error from None
        headers = reply.headers
        etag = headers.get("ETag", "")
        sealed = headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
        sealed = sealed or "x-amz-server-side-encryption-customer-algorithm" in headers
        size = int(headers.get("Content-Length", -1))
        return Found(
            key,
            size,
            etag,
            http_time(headers.get("Last-Modified")),
            "" if sealed else _md5(etag),
            headers.get("Content-Type", ""),
        )

    def blocks(self, top: str, key: str) -> tuple[str, int, Iterator[bytes]] | None:
        return self._native.read(top, key, self._opened)

    def address(self, top: str, key: str) -> str:
        server, request = self._request("GET", top, key)
        if self._access.keys is None:
            return server._replace(target=request.target).text
        keys, region = self._access.keys(), self._region(top)
        return server._replace(target=s3_target(request, keys, region, _LASTING, utc_now())).text

    def address_headers(self) -> Mapping[str, str]:
        return {}

    def put(self, top: str, key: str, body: Body) -> None:
        if not (isinstance(body, Chunk) and self._native.store(top, key, body, self._opened)):
            self._ask("PUT", top, key, body=body)

    def begin(self, top: str, key: str) -> str:
        _, told = parsed(self._ask("POST", top, key, {"uploads": ""}).body)
        if not told.get("UploadId"):
            raise FetchError(NO_STORAGE, retry=False)
        return told["UploadId"]

    def part(self, top: str, key: str, upload: str, number: int, body: Body) -> str:
        query = {"partNumber": str(number), "uploadId": upload}
        return self._ask("PUT", top, key, query, body=body).headers.get("ETag", "")

    def finish(self, top: str, key: str, upload: str, tags: list[str]) -> None:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escaped(tag)}</ETag></Part>"
            for number, tag in enumerate(tags, start=1)
        )
        body = _xml(f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
        _succeeded(self._ask("POST", top, key, {"uploadId": upload}, body=body))

    def abort(self, top: str, key: str, upload: str) -> None:
        self._ask("DELETE", top, key, {"uploadId": upload})

    def copy(self, source: tuple[str, str], target: tuple[str, str], watch: Watch) -> bool:
        if self.head(*source).size > _LARGEST_COPY:
            return False
        _succeeded(self._ask("PUT", *target, headers={"x-amz-copy-source": encoded("/".join(source))}))
        return True

    def delete(self, top: str, keys: list[str], watch: Watch) -> Iterator[tuple[str, str]]:
        together = [key for key in keys if key.isprintable()]  # XML cannot carry the others
        failed = self._delete_together(top, together) if together else {}
        for key in keys:
            if not key.isprintable():
                failed[key] = self._delete_one(top, key)
            yield key, failed.get(key, "")

    def _delete_together(self, top: str, keys: list[str]) -> dict[str, str]:
        """Those that are still there, and why."""
        asked = "".join(f"<Object><Key>{escaped(key)}</Key></Object>" for key in keys)
        body = _xml(f"<Delete><Quiet>true</Quiet>{asked}</Delete>")
        md5 = base64.b64encode(body.hashed(hashlib.md5(usedforsecurity=False))).decode()
        reply = self._ask("POST", top, "", {"delete": ""}, {"content-md5": md5}, body)
        rows, _ = parsed(reply.body, _ERRORS)
        return {row.get("Key", ""): refusal(0, row.get("Code", ""), row.get("Message", "")).reason for row in rows}

    def _delete_one(self, top: str, key: str) -> str:
        try:
            self._ask("DELETE", top, key)
        except FetchError as error:
            if error.retry:
                raise
            return error.reason
        return ""

    def _ask(
        self,
        method: str,
        bucket: str,
        key: str = "",
        query: Mapping[str, str] = {},
        headers: Mapping[str, str] = {},
        body: Body | None = None,
    ) -> Reply:
        """One request, once more where the bucket turns out to be in another region.

        It is signed with the SHA-256 of its body, which the storage compares before it takes it.
        """
        sha256 = body.hashed(hashlib.sha256()).hex() if body is not None else _EMPTY
        while True:
            server, request = self._request(method, bucket, key, query, headers)
            at = server._replace(target=request.target)
            reply = self.web.send(method, at, self._signed(request, bucket, sha256), self._watch, body).whole()
            if reply.status < 300:
                return reply
            if not self._learnt(bucket, reply):
                raise _refusal(reply)

    def _request(
        self,
        method: str,
        bucket: str,
        key: str,
        query: Mapping[str, str] = {},
        headers: Mapping[str, str] = {},
    ) -> tuple[Address, Request]:
        endpoint, root = self._place(bucket)
        if endpoint not in self._servers:
            self._servers[endpoint] = address(endpoint)
        server = self._servers[endpoint]
        try:
            f"{key}{query}".encode()
        except UnicodeEncodeError:
            raise FetchError("has a name that is not UTF-8, which S3 cannot store", retry=False) from None
        return server, Request(method, server.server, root + key, query, headers)

    def _signed(self, request: Request, bucket: str, sha256: str = _EMPTY) -> dict[str, str]:
        if self._access.keys is None:
            return {**request.headers, "host": request.host}
        return s3_headers(request, self._access.keys(), self._region(bucket), sha256, utc_now())

    def _region(self, bucket: str) -> str:
        return self._regions.get(bucket) or self._access.region or "us-east-1"

    def _place(self, bucket: str) -> tuple[str, str]:
        """The address of the host, and what stands before the key in its paths."""
        endpoint = self._access.endpoint
        region = self._region(bucket)
        base = endpoint or f"https://s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
        if _HOST_LABEL.fullmatch(bucket) and (self._access.virtual or not endpoint):
            scheme, _, host = base.partition("://")
            return f"{scheme}://{bucket}.{host}", "/"
        if not bucket or "/" in bucket or bucket in (".", ".."):
            raise FetchError(f"{one_line(bucket)}: no name of a bucket", retry=False)
        return base, f"/{bucket}/"

    def _learnt(self, bucket: str, reply: Reply) -> bool:
        """Whether the answer tells that the bucket is in another region than was thought."""
        if reply.status not in (301, 307, 400, 403):
            return False
        told = reply.headers.get("x-amz-bucket-region") or _told(reply).get("Region", "")
        if not told or told == self._region(bucket):
            return False
        self._regions[bucket] = told
        return True

    def _opened(self, bucket: str) -> Any:
        """The engine's door to a bucket; a first request tells whether it is there, and where."""
        from obstore.store import S3Store

        from scitq.fetch.backends import native

        try:
            self._ask("HEAD", bucket)
        except Refused:
            pass  # whoever may store or read need not be allowed to ask this
        except NotThere:
            raise NotThere("no such bucket", retry=False) from None
        endpoint, root = self._place(bucket)
        keys = self._access.keys

        def credentials() -> Any:
            access, secret, token = keys() if keys else ("", "", "")
            # Asked again, so that keys which are renewed meanwhile are.
            until = datetime.now(UTC) + timedelta(minutes=5)
            return {"access_key_id": access, "secret_access_key": secret, "token": token or None, "expires_at": until}

        # All that the engine would otherwise take from the environment, which may be meant for another account.
        return S3Store(
            bucket,
            endpoint=endpoint,
            aws_endpoint_url_s3=endpoint,
            region=self._region(bucket),
            virtual_hosted_style_request=root == "/",
            skip_signature=keys is None,
            unsigned_payload=False,
            s3_express=False,
            credential_provider=credentials if keys else None,
            **native.options(endpoint, self._access.ca_bundle),
        )


def _listed(row: Row, *, url_encoded: bool) -> Found:
    key = unquote_plus(row["Key"]) if url_encoded else row["Key"]
    size = int(row.get("Size", -1))
    etag = row.get("ETag", "")
    if etag and '"' not in etag:  # rclone serves it bare in listings, and as it should be elsewhere
        etag = f'"{etag}"'
    modified = datetime.fromisoformat(row["LastModified"]).timestamp() if "LastModified" in row else None
    return Found(key, size, etag, modified, _md5(etag), folder=not size and key.endswith("/"))


def _md5(etag: str) -> str:
    found = _MD5.fullmatch(etag)
    return found[1] if found else ""


def _told(reply: Reply) -> Row:
    try:
        return parsed(reply.body)[1] if reply.body else {}
    except FetchError:
        return {}


def _refusal(reply: Reply) -> FetchError:
    told = _told(reply)
    return refusal(reply.status, told.get("Code", ""), told.get("Message", ""))


def _succeeded(reply: Reply) -> None:
    """What takes long is answered by 200 before the storage knows; how it ended stands in the body."""
    rows, _ = parsed(reply.body, _ERRORS) if reply.body else ([], {})
    if rows:
        raise refusal(500, rows[0].get("Code", ""), rows[0].get("Message", ""))


def _xml(text: str) -> Chunk:
    return Chunk(f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(), Watch())
