"""One data mover for every place where scientific data lives, usable without the rest of scitq.

The names below are loaded when first asked for, so that whoever only parses addresses pays for nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scitq.fetch.copying import copy, sync
    from scitq.fetch.deleting import delete
    from scitq.fetch.jobs import Incomplete, Outcome, Report
    from scitq.fetch.listing import Usage, du, exists, info, list, nrlist  # noqa: A004 - the name that users know
    from scitq.fetch.storage import Entry, FetchError, NotThere, Refused, Stopped, TimedOut
    from scitq.fetch.transfer import Fetched, Seen, Stored, Unstored, get, look, put
    from scitq.fetch.uri import Uri, UriError, absolute, check, parse

__all__ = [
    "Entry",
    "FetchError",
    "Fetched",
    "Incomplete",
    "NotThere",
    "Outcome",
    "Refused",
    "Report",
    "Seen",
    "Stopped",
    "Stored",
    "TimedOut",
    "Unstored",
    "Uri",
    "UriError",
    "Usage",
    "absolute",
    "check",
    "copy",
    "delete",
    "du",
    "exists",
    "get",
    "info",
    "list",
    "look",
    "nrlist",
    "parse",
    "put",
    "sync",
]

_HOMES = {
    **dict.fromkeys(("Uri", "UriError", "absolute", "check", "parse"), "uri"),
    **dict.fromkeys(("Entry", "FetchError", "NotThere", "Refused", "Stopped", "TimedOut"), "storage"),
    **dict.fromkeys(("Fetched", "Seen", "Stored", "Unstored", "get", "look", "put"), "transfer"),
    **dict.fromkeys(("copy", "sync"), "copying"),
    "delete": "deleting",
    **dict.fromkeys(("Incomplete", "Outcome", "Report"), "jobs"),
    **dict.fromkeys(("Usage", "du", "exists", "info", "list", "nrlist"), "listing"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
