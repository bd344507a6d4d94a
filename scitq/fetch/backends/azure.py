"""Azure Blob Storage: block blobs in the containers of one account."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote

from scitq.fetch.backends.accounts import AzureAccess, azure_access
from scitq.fetch.backends.answers import NO_STORAGE, Row, http_time, parsed, refusal
from scitq.fetch.backends.doors import Doors
from scitq.fetch.backends.objects import Objects
from scitq.fetch.backends.service import Found, Page
from scitq.fetch.backends.signing import (
    Request,
    azure_headers,
    azure_read_query,
    azure_version,
    encoded,
    encoded_query,
    utc_now,
)
from scitq.fetch.bodies import Body, Chunk
from scitq.fetch.places import address
from scitq.fetch.settings import Settings, settings
from scitq.fetch.storage import FetchError, NotThere, Watch
from scitq.fetch.uri import Uri, one_line
from scitq.fetch.web import Reply, Web

_ROWS = frozenset({"Blob", "BlobPrefix"})
_LASTING = timedelta(hours=1)


class Backend(Objects):
    """The `Storage` of azure://container/name."""

    def __init__(self, uri: Uri) -> None:
        chosen = settings()
        access = azure_access(uri.options[0] if uri.options else "", chosen)
        super().__init__(Azure(access, chosen), chosen)


class Azure:
    """The requests, as `Service` tells them."""

    def __init__(self, access: AzureAccess, chosen: Settings) -> None:
        self.web = Web(chosen.stall_s, access.ca_bundle)
        self._watch = Watch()
        self._access = access
        self._server = address(access.endpoint)
        self._root = self._server.target.rstrip("/")
        self._at_once = chosen.parallel
        self._native = Doors()

    def page(self, top: str, prefix: str, more: str, *, flat: bool, most: int = 0) -> Page:
        query = {"restype": "container", "comp": "list", "include": "metadata", "prefix": prefix}
        if not flat:
            query["delimiter"] = "/"
        if more:
            query["marker"] = more
        if most:
            query["maxresults"] = str(most)
        rows, others = parsed(self._ask("GET", top, query=query).body, _ROWS)
        try:
            found = [_listed(row) for row in rows if row[""] == "Blob"]
            folders = [_name(row) for row in rows if row[""] == "BlobPrefix"]
        except (KeyError, ValueError) as error:
            raise FetchError(NO_STORAGE, retry=False) from error
        return Page(lambda: (found, folders), others.get("NextMarker", ""))

    def head(self, top: str, key: str) -> Found:
        headers = self._ask("HEAD", top, key).headers
        return Found(
            key,
            int(headers.get("Content-Length", -1)),
            headers.get("ETag", ""),
            http_time(headers.get("Last-Modified")),
            _hexadecimal(headers.get("Content-MD5", "")),
            headers.get("Content-Type", ""),
            folder=headers.get("x-ms-meta-hdi_isfolder", "").lower() == "true",
        )

    def blocks(self, top: str, key: str) -> tuple[str, int, Iterator[bytes]] | None:
        return self._native.read(top, key, self._opened)

    def address(self, top: str, key: str) -> str:
        query: Mapping[str, str] = {}
        access = self._access
        if access.key:
            query = azure_read_query(access.account, access.key, f"{top}/{key}", _LASTING, utc_now())
        elif access.sas:
            query = _query(access.sas)
        asked = encoded_query(query)
        path = encoded(self._path(top, key))
        return self._server._replace(target=f"{path}?{asked}" if asked else path).text

    def address_headers(self) -> Mapping[str, str]:
        token = self._access.token
        return {**azure_version(utc_now()), "authorization": f"Bearer {token()}"} if token else {}

    def put(self, top: str, key: str, body: Body) -> None:
        self._send(top, key, body, {}, {"x-ms-blob-type": "BlockBlob"})

    def begin(self, top: str, key: str) -> str:
        return ""  # parts belong to the name, until they are made one or a week has passed

    def part(self, top: str, key: str, upload: str, number: int, body: Body) -> str:
        name = base64.b64encode(f"{number:08}".encode()).decode()
        self._send(top, key, body, {"comp": "block", "blockid": name}, {})
        return name

    def finish(self, top: str, key: str, upload: str, tags: list[str]) -> None:
        names = "".join(f"<Latest>{tag}</Latest>" for tag in tags)
        text = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{names}</BlockList>'
        self._send(top, key, Chunk(text.encode(), Watch()), {"comp": "blocklist"}, {})

    def abort(self, top: str, key: str, upload: str) -> None:
        """Nothing is seen of parts that were not made one."""

    def copy(self, source: tuple[str, str], target: tuple[str, str], watch: Watch) -> bool:
        asked = {"x-ms-copy-source": self.address(*source)}
        reply = self._ask("PUT", *target, headers=asked)
        while (state := reply.headers.get("x-ms-copy-status")) == "pending":
            watch.pause(0.5)
            reply = self._ask("HEAD", *target)
        if state != "success":
            raise FetchError(f"the storage gave up the copy: {one_line(state or 'no reason')}", retry=True)
        return True

    def delete(self, top: str, keys: list[str], watch: Watch) -> Iterator[tuple[str, str]]:
        from concurrent.futures import ThreadPoolExecutor  # not at the start of every transfer

        with ThreadPoolExecutor(self._at_once) as pool:
            yield from zip(keys, pool.map(partial(self._delete, top, watch), keys), strict=True)

    def _delete(self, top: str, watch: Watch, key: str) -> str:
        watch.check()
        try:
            self._ask("DELETE", top, key, headers={"x-ms-delete-snapshots": "include"})
        except NotThere:
            return ""
        except FetchError as error:
            if error.retry:
                raise
            return error.reason
        return ""

    def _send(self, top: str, key: str, body: Body, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """With the MD5 of the content, which the storage checks before it takes it."""
        md5 = base64.b64encode(body.hashed(hashlib.md5(usedforsecurity=False))).decode()
        sent = {**headers, "content-md5": md5, "content-length": str(body.size)}
        self._ask("PUT", top, key, query, sent, body)

    def _ask(
        self,
        method: str,
        container: str,
        key: str = "",
        query: Mapping[str, str] = {},
        headers: Mapping[str, str] = {},
        body: Body | None = None,
    ) -> Reply:
        request = Request(method, self._server.server, self._path(container, key), query, headers)
        signed = self._signed(request)
        if self._access.sas:
            request = request._replace(query={**query, **_query(self._access.sas)})
        at = self._server._replace(target=request.target)
        reply = self.web.send(method, at, signed, self._watch, body).whole()
        if reply.status >= 300:
            told = _told(reply)
            code = reply.headers.get("x-ms-error-code") or told.get("Code", "")
            raise refusal(reply.status, code, told.get("Message", ""))
        return reply

    def _signed(self, request: Request) -> dict[str, str]:
        if self._access.key:
            return azure_headers(request, self._access.account, self._access.key, utc_now())
        headers = {**azure_version(utc_now()), **request.headers}
        if self._access.token:
            headers["authorization"] = f"Bearer {self._access.token()}"
        return headers

    def _path(self, container: str, key: str) -> str:
        if not container or container in {".", ".."}:
            raise FetchError(f"{one_line(container)}: no name of a container", retry=False)
        if "\\" in key:
            raise FetchError("has a name with a backslash, which Azure would turn into a /", retry=False)
        path = f"{self._root}/{container}/{key}" if key else f"{self._root}/{container}"
        try:
            path.encode()
        except UnicodeEncodeError:
            raise FetchError("has a name that is not UTF-8, which Azure cannot store", retry=False) from None
        return path

    def _opened(self, container: str) -> Any:
        """The engine's door to a container."""
        from obstore.store import AzureStore

        from scitq.fetch.backends import native

        access = self._access

        def credentials() -> Any:
            if access.key:
                return {"access_key": access.key, "expires_at": None}
            if access.sas:
                return {"sas_token": access.sas, "expires_at": None}
            token = access.token() if access.token else ""
            return {"token": token, "expires_at": utc_now() + timedelta(minutes=5)}

        anonymous = not (access.key or access.sas or access.token)
        # All that the engine would otherwise take from the environment, which may be meant for another account.
        return AzureStore(
            container,
            account_name=access.account,
            endpoint=access.endpoint,
            skip_signature=anonymous,
            use_emulator=False,
            credential_provider=None if anonymous else credentials,
            **native.options(access.endpoint, access.ca_bundle),
        )


def _listed(row: Row) -> Found:
    size = int(row.get("Content-Length") or 0)
    name = _name(row)
    # Three ways to mark a folder: by accounts that know folders, by Hadoop and its kin, and as on S3.
    marked = row.get("ResourceType") == "directory" or row.get("hdi_isfolder", "").lower() == "true"
    folder = marked or (not size and name.endswith("/"))
    modified = http_time(row.get("Last-Modified"))
    return Found(
        name,
        size,
        row.get("Etag", ""),
        modified,
        _hexadecimal(row.get("Content-MD5", "")),
        row.get("Content-Type", ""),
        folder,
    )


def _name(row: Row) -> str:
    """The name, which is percent-encoded where XML could not carry it."""
    return unquote(row["Name"]) if "Encoded" in row else row["Name"]


def _hexadecimal(md5: str) -> str:
    return base64.b64decode(md5).hex() if md5 else ""


def _query(sas: str) -> dict[str, str]:
    return dict(parse_qsl(sas, keep_blank_values=True))


def _told(reply: Reply) -> Row:
    try:
        return parsed(reply.body)[1] if reply.body else {}
    except FetchError:
        return {}
