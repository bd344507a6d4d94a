"""`scitq fetch …` (`scitq-fetch …`, `python -m scitq.fetch`)."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scitq.errors import ScitqError, UsageError
from scitq.fetch.uri import Role, UriError, parse, refusal, shown
from scitq.shell import values
from scitq.shell.connect import JSON
from scitq.shell.render import moment, one_line, print_json, size
from scitq.shell.transfers import carry_out
from scitq.shell.tree import Argument, Command, Group, Kind, Option

if TYPE_CHECKING:
    from scitq.fetch.jobs import How
    from scitq.fetch.storage import Entry


def list_files(given: Namespace) -> int:
    """The files of a folder under their whole addresses."""
    return _list(given, deep=not given.not_recursive, whole=True)


def nrlist(given: Namespace) -> int:
    """What is right in a folder, under relative names."""
    return _list(given, deep=False, whole=False)


def info(given: Namespace) -> int:
    """What is known of one file."""
    from scitq.fetch import info as looked_up

    with _told():
        entry = looked_up(_address(given.uri, "input"))
    fields = _fields(given.uri, entry)
    if given.json:
        print_json([fields])
        return 0
    told = fields | {"size": size(entry.size) if entry.size >= 0 else "", "modified": moment(entry.modified)}
    for name, value in told.items():
        if value:
            print(one_line(f"{name + ':':10}{value}"))
    return 0


def exists(given: Namespace) -> int:
    """Whether there is a file or a folder, as the exit code tells."""
    from scitq.fetch import exists as is_there

    with _told():
        found = is_there(_address(given.uri, "input"))
    print("yes" if found else "no")
    return 0 if found else 1


def du(given: Namespace) -> int:
    """How much a folder holds."""
    from scitq.fetch import list as files_of

    files = total = 0
    code = 0
    with _told():
        for entry in files_of(_address(given.uri, "input"), include=given.include, exclude=given.exclude):
            if entry.trouble:
                code = _tell_trouble(entry)
            else:
                files += 1
                total += max(0, entry.size)
    if given.json:
        print_json([{"uri": given.uri, "files": files, "bytes": total}])
    else:
        print(f"{files:,} file{'' if files == 1 else 's'}, {size(total)}")
    return code


def copy(given: Namespace) -> int:
    """Copy a file or a folder."""
    from scitq.fetch.copying import Copying

    source, target = _address(given.source, "input"), _address(given.target or ".", "output")
    with _told():
        job = Copying(source, target, _how(given))
    return carry_out(job, given)


def sync(given: Namespace) -> int:
    """Make a folder hold what another holds."""
    from scitq.fetch.copying import Syncing

    source, target = _address(given.source, "input"), _address(given.target, "output")
    with _told():
        job = Syncing(source, target, _how(given))
    return carry_out(job, given)


def delete(given: Namespace) -> int:
    """Delete a file or a folder."""
    from scitq.fetch.deleting import Deleting

    uri = _address(given.uri, "output")
    with _told():
        job = Deleting(uri, _how(given))
    return carry_out(job, given)


def _list(given: Namespace, *, deep: bool, whole: bool) -> int:
    from scitq.fetch.filters import takes
    from scitq.fetch.listing import found, looked_at

    code = 0

    def entries() -> Iterator[tuple[str, "Entry"]]:
        nonlocal code
        where, listed = found(looked_at(uri), takes(given.include, given.exclude), deep=deep)
        for entry in listed:
            if entry.trouble:
                code = _tell_trouble(entry)
            else:
                yield where.address(entry.name) if whole else entry.name, entry

    uri = _address(given.uri, "input")
    with _told():
        if given.json:
            print_json(_fields(name, entry) for name, entry in entries())
        else:
            for name, entry in entries():
                count = "" if entry.size < 0 or name.endswith("/") else str(entry.size)
                print(f"{count:>15}  {moment(entry.modified):19}  {one_line(name)}")
    return code


def _tell_trouble(entry: "Entry") -> int:
    print(one_line(f"scitq: {entry.name}: {entry.trouble}"), file=sys.stderr)
    return 1


def _fields(name: str, entry: "Entry") -> dict[str, Any]:
    """An entry as JSON tells it; null is what the storage does not say."""
    return {
        "name": name,
        "size": None if entry.size < 0 else entry.size,
        "modified": entry.modified,
        "md5": entry.md5 or None,
        "type": entry.type or None,
        "version": entry.version,
    }


def _address(text: str, role: Role) -> str:
    """The same text, once it is known to be an address that can be used so."""
    try:
        uri = parse(text)
    except UriError as problem:
        raise UsageError(str(problem)) from None
    if reason := refusal(uri, role):
        raise UsageError(f"{shown(text)}: {reason}")
    return text


def _how(given: Namespace) -> "How":
    from scitq.fetch.jobs import How

    return How(
        given.include,
        given.exclude,
        getattr(given, "delete", False),
        getattr(given, "checksum", False),
        given.dry_run,
        given.parallel,
        getattr(given, "limit_rate", None),
        None if given.retry is None else given.retry + 1,
    )


@contextmanager
def _told() -> Iterator[None]:
    """Whatever goes wrong is for the user."""
    from scitq.fetch import FetchError

    try:
        yield
    except FetchError as problem:
        raise ScitqError(str(problem)) from None


def _glob(text: str) -> str:
    from scitq.fetch import FetchError
    from scitq.fetch.filters import takes

    try:
        takes((text,), ())
    except FetchError as problem:
        raise ValueError(problem.reason) from None
    return text


def _rate(text: str) -> int:
    limit = values.SIZE.parse(text).value
    if not limit:
        raise ValueError(f"not a number of bytes per second: {text!r} (10M)")
    return int(limit)


_FILTERS = (
    Option(
        ("--include",),
        "take only files that match, as *.data or /logs/** (repeatable)",
        Kind("GLOB", _glob),
        many=True,
    ),
    Option(
        ("--exclude",), "leave out files that match (repeatable; wins over --include)", Kind("GLOB", _glob), many=True
    ),
)
_DRY_RUN = Option(("--dry-run",), "say what would be done, and do nothing")
_PACE = (
    Option(("--parallel",), "how many files at once", values.POSITIVE),
    Option(("--retry",), "how often to try a file again", values.COUNT),
)
_MOVING = (
    *_FILTERS,
    Option(("--checksum",), "compare contents by MD5, not sizes and times"),
    _DRY_RUN,
    *_PACE,
    Option(("--limit-rate",), "bytes per second, all together: 10M", Kind("RATE", _rate)),
    JSON,
)
_URI = Argument("uri", "a file, or a folder", values.URI)
_SOURCE = Argument("source", "where from", values.URI)

FETCH = Group(
    "fetch",
    "move data between storages",
    (
        Command(
            "list",
            "list all files of a folder: size, time, address",
            list_files,
            (Option(("--not-recursive",), "only what is right in the folder"), *_FILTERS, JSON),
            (_URI,),
        ),
        Command("nrlist", "list what is right in a folder, by relative names", nrlist, (*_FILTERS, JSON), (_URI,)),
        Command(
            "copy",
            "copy a file, or with a final / all that a folder holds; what is there already stays",
            copy,
            _MOVING,
            (_SOURCE, Argument("target", "where to (the current folder)", values.URI, "?")),
        ),
        Command(
            "sync",
            "make a folder hold what another holds",
            sync,
            (Option(("--delete",), "delete what only the target has"), *_MOVING),
            (_SOURCE, Argument("target", "where to", values.URI)),
        ),
        Command(
            "delete",
            "delete a file, or all that a folder holds",
            delete,
            (*_FILTERS, _DRY_RUN, *_PACE, JSON),
            (_URI,),
        ),
        Command("info", "say what is known of a file", info, (JSON,), (_URI,)),
        Command("du", "say how much a folder holds", du, (*_FILTERS, JSON), (_URI,)),
        Command("exists", "say whether a file or folder is there; exit code 1 when not", exists, (), (_URI,)),
    ),
)
