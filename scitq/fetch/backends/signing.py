"""How requests to object storages are signed: AWS Signature 4, Azure's shared key and shared access. Pure."""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote

NOT_SIGNED = "UNSIGNED-PAYLOAD"

_AZURE_VERSION = "2021-12-02"
_AZURE_SIGNED_FIELDS = (
    *("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date"),
    *("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"),
)


class Keys(NamedTuple):
    """What proves to an S3 provider who asks."""

    access: str
    secret: str
    token: str = ""  # of a session, for temporary keys


class Request(NamedTuple):
    """What is asked: enough of it to be signed and sent."""

    method: str
    host: str  # as in the Host header
    path: str  # not encoded, beginning with "/"
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}  # names in lower case

    @property
    def target(self) -> str:
        """What stands in the request line."""
        asked = encoded_query(self.query)
        return f"{encoded(self.path)}?{asked}" if asked else encoded(self.path)


def encoded(path: str) -> str:
    """A path as the signature and the request line both want it. Raises UnicodeEncodeError."""
    return quote(path, safe="/~")


def encoded_query(query: Mapping[str, str]) -> str:
    """The same of a query, in the order that is signed."""
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items()))


def s3_headers(request: Request, keys: Keys, region: str, sha256: str, now: datetime) -> dict[str, str]:
    """The headers to send; `sha256` of the body in hexadecimal, or NOT_SIGNED."""
    headers = {
        **request.headers,
        "host": request.host,
        "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
        "x-amz-content-sha256": sha256,
    }
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    signed = ";".join(sorted(headers))
    signature = _s3_signature(request._replace(headers=headers), keys, region, sha256, now)
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access}/{_scope(region, now)}, "
        f"SignedHeaders={signed}, Signature={signature}"
    )
    return headers


def s3_target(request: Request, keys: Keys, region: str, lasting: timedelta, now: datetime) -> str:
    """A request line that whoever has it may use, for at most seven days."""
    query = {
        **request.query,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{keys.access}/{_scope(region, now)}",
        "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(int(lasting.total_seconds())),
        "X-Amz-SignedHeaders": "host",
    }
    if keys.token:
        query["X-Amz-Security-Token"] = keys.token
    asked = request._replace(query=query, headers={"host": request.host})
    query["X-Amz-Signature"] = _s3_signature(asked, keys, region, NOT_SIGNED, now)
    return request._replace(query=query).target


def azure_headers(request: Request, account: str, key: str, now: datetime) -> dict[str, str]:
    """The headers to send, signed by the account's key (base64)."""
    headers = {**azure_version(now), **request.headers}
    fields = {**headers, "content-length": headers.get("content-length", "").removeprefix("0")}
    ours = sorted((name, value) for name, value in headers.items() if name.startswith("x-ms-"))
    text = "\n".join(
        (
            request.method,
            *(fields.get(name, "") for name in _AZURE_SIGNED_FIELDS),
            *(f"{name}:{value}" for name, value in ours),
            f"/{account}{encoded(request.path)}",
            *(f"{name.lower()}:{value}" for name, value in sorted(request.query.items())),
        )
    )
    return {**headers, "authorization": f"SharedKey {account}:{_azure_signature(text, key)}"}


def azure_version(now: datetime) -> dict[str, str]:
    """The headers that every request to Azure carries, however it is signed."""
    return {"x-ms-version": _AZURE_VERSION, "x-ms-date": f"{now:%a, %d %b %Y %H:%M:%S} GMT"}


def azure_read_query(account: str, key: str, blob: str, lasting: timedelta, now: datetime) -> dict[str, str]:
    """The query that lets whoever has it read one blob (`container/name`) for a time."""
    begin, end = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (now - timedelta(minutes=15), now + lasting))
    # Empty: identifier, addresses, protocol; after the kind (b, a blob): snapshot, scope, five headers of the answer.
    fields = ("r", begin, end, f"/blob/{account}/{blob}", "", "", "", _AZURE_VERSION, "b", *[""] * 7)
    signature = _azure_signature("\n".join(fields), key)
    return {"sp": "r", "st": begin, "se": end, "sv": _AZURE_VERSION, "sr": "b", "sig": signature}


def utc_now() -> datetime:
    """The time that signatures carry."""
    return datetime.now(UTC)


def _scope(region: str, now: datetime) -> str:
    return f"{now:%Y%m%d}/{region}/s3/aws4_request"


def _s3_signature(request: Request, keys: Keys, region: str, sha256: str, now: datetime) -> str:
    headers = sorted(request.headers.items())
    canonical = "\n".join(
        (
            request.method,
            encoded(request.path),
            encoded_query(request.query),
            *(f"{name}:{' '.join(value.split())}" for name, value in headers),
            "",
            ";".join(name for name, _ in headers),
            sha256,
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{now:%Y%m%dT%H%M%SZ}\n{_scope(region, now)}\n{digest}"
    key = _chained(f"AWS4{keys.secret}".encode(), (f"{now:%Y%m%d}", region, "s3", "aws4_request"))
    return hmac.digest(key, text.encode(), "sha256").hex()


def _chained(key: bytes, words: Iterable[str]) -> bytes:
    for word in words:
        key = hmac.digest(key, word.encode(), "sha256")
    return key


def _azure_signature(text: str, key: str) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), "sha256")).decode()
