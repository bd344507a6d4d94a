"""Small objects by the native engine, obstore: thousands a second, where Python's requests take a millisecond."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError

from scitq.fetch.backends.answers import refusal
from scitq.fetch.storage import FetchError, why
from scitq.fetch.uri import one_line

_BLOCK = 1 << 20
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(.*?)</Code>")
_MESSAGE = re.compile(r"<Message>(.*?)</Message>", re.DOTALL)
_FAILURES = (BaseError, FileNotFoundError, PermissionError)

Store = Any  # obstore's S3Store or AzureStore


class Unreachable(FetchError):
    """The engine got no answer: its TLS may be stricter than OpenSSL's, its ways other ones."""


def takes(key: str) -> bool:
    """Whether the engine takes this name as it is: it refuses some, and would change others."""
    return key.isprintable() and not any(part in ("", ".", "..") for part in key.split("/"))


def options(endpoint: str, ca_bundle: str) -> dict[str, Any]:
    """What both kinds of store are told about connections; trying again is for whoever calls."""
    client: dict[str, Any] = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=10),
        "timeout": timedelta(minutes=10),
    }
    if ca_bundle:
        try:
            with open(ca_bundle, "rb") as file:
                client["root_certificate"] = file.read()
        except OSError as error:
            raise FetchError(f"{ca_bundle}: {why(error)}", retry=False) from error
    once = {"init_backoff": timedelta(milliseconds=50), "max_backoff": timedelta(seconds=1), "base": 2}
    return {
        "client_options": client,
        # One more, for a connection that was kept and is gone.
        "retry_config": {"max_retries": 1, "backoff": once, "retry_timeout": timedelta(seconds=30)},
    }


def read(store: Store, key: str) -> tuple[str, int, Iterator[bytes]]:
    """An object's ETag, its size and its content by blocks. Raises FetchError, the iterator too."""
    try:
        result = obstore.get(store, key)
        meta = result.meta
    except _FAILURES as error:
        raise _trouble(error) from error
    return meta["e_tag"] or "", meta["size"], _blocks(result, whole=meta["size"] <= _BLOCK)


def store(store: Store, key: str, content: bytes | memoryview) -> None:
    """Store an object; the request is signed with the SHA-256 of its content. Raises FetchError."""
    _tried(lambda: obstore.put(store, key, content, use_multipart=False))


def _blocks(result: Any, *, whole: bool) -> Iterator[bytes]:
    if whole:  # as a stream it would be two ways into the engine and back
        yield _tried(result.bytes)
        return
    blocks = iter(result.stream(_BLOCK))
    while (block := _tried(lambda: next(blocks, None))) is not None:
        yield block


def _tried(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except _FAILURES as error:
        raise _trouble(error) from error


def _trouble(error: Exception) -> FetchError:
    """The engine's errors are pages of text, in which the storage's own answer stands."""
    text = str(error)
    status = _STATUS.search(text)
    if status is None:
        cause = text.split("\n", 1)[0].rpartition(" - ")[2]
        return Unreachable(one_line(cause), retry=True)
    code, message = _CODE.search(text), _MESSAGE.search(text)
    return refusal(int(status[1]), code[1] if code else "", message[1] if message else "")
