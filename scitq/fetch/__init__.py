"""One data mover for every place where scientific data lives, usable without the rest of scitq.

The names below are loaded when first asked for, so that whoever only parses addresses pays for nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scitq.fetch.storage import FetchError, Stopped, TimedOut
    from scitq.fetch.transfer import Fetched, Stored, get, put
    from scitq.fetch.uri import Uri, UriError, absolute, check, parse

__all__ = [
    "FetchError",
    "Fetched",
    "Stopped",
    "Stored",
    "TimedOut",
    "Uri",
    "UriError",
    "absolute",
    "check",
    "get",
    "parse",
    "put",
]

_HOMES = {
    **dict.fromkeys(("Uri", "UriError", "absolute", "check", "parse"), "uri"),
    **dict.fromkeys(("FetchError", "Stopped", "TimedOut"), "storage"),
    **dict.fromkeys(("Fetched", "Stored", "get", "put"), "transfer"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
