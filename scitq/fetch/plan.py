"""Two listings in order -> what is to be done, in one pass and flat memory. Pure: no storage, no clock."""

from collections.abc import Iterable, Iterator
from math import floor
from typing import Literal, NamedTuple

from scitq.fetch.storage import Entry, FetchError
from scitq.fetch.uri import one_line

# What is to be done with a name: nothing as both sides have the same; a copy; a look at the content, which
# decides; a deletion, as only the target has it; nothing, and an error, as the source cannot be read there.
Do = Literal["keep", "copy", "look", "delete", "trouble"]


class Step(NamedTuple):
    """What is to be done with one name; `entry` is that of the source, for a deletion that of the target."""

    do: Do
    entry: Entry
    target: Entry | None = None


class Sides(NamedTuple):
    """What two sides can do, on which a comparison rests."""

    source_is_local: bool
    target_is_local: bool  # only there a copy keeps the time of its source
    by_content: bool = False  # asked for: the content decides, not the time


def plan(source: Iterable[Entry], target: Iterable[Entry], sides: Sides) -> Iterator[Step]:
    """The steps that make the target hold what the source holds, and, by the deletions, nothing else.

    Both in the order of names. What an entry with trouble may hide in a folder of its name is not deleted. Raises
    FetchError when a listing is out of order, for what follows would be wrong.
    """
    theirs = _in_order(target)
    other = next(theirs, None)
    hidden: list[str] = []
    for entry in _in_order(source):
        while other is not None and other.name < entry.name:
            if not _hides(hidden, other.name):
                yield Step("delete", other)
            other = next(theirs, None)
        same_name = other if other is not None and other.name == entry.name else None
        if entry.trouble:
            hidden.append(entry.name + "/")
            yield Step("trouble", entry)
        else:
            yield Step(compare(entry, same_name, sides), entry, same_name)
        if same_name is not None:
            other = next(theirs, None)
    while other is not None:
        if not _hides(hidden, other.name):
            yield Step("delete", other)
        other = next(theirs, None)


def compare(source: Entry, target: Entry | None, sides: Sides) -> Literal["keep", "copy", "look"]:
    """Whether a file has to be copied over what has its name.

    Sizes that differ say so, and digests when both sides tell theirs. Else times: where a copy keeps them they are
    the same; elsewhere the copy is not older than its source. When times speak for a copy, or the content was asked
    for, and each digest is known or costs only reading a local disk, the content decides.
    """
    if target is None or target.trouble:
        return "copy"
    if source.size != target.size and -1 not in {source.size, target.size}:
        return "copy"
    if source.md5 and target.md5:
        return "keep" if source.md5 == target.md5 else "copy"
    comparable = (source.md5 or sides.source_is_local) and (target.md5 or sides.target_is_local)
    if sides.by_content and comparable:
        return "look"
    if _times_agree(source.modified, target.modified, kept=sides.target_is_local):
        return "keep"
    # Two local files are as fast copied as compared.
    return "look" if comparable and not (sides.source_is_local and sides.target_is_local) else "copy"


def _times_agree(source: float | None, target: float | None, *, kept: bool) -> bool:
    if source is None or target is None:
        return True
    # Some storages tell whole seconds only.
    if not kept:
        return target >= (floor(source) if target.is_integer() else source)
    whole = source.is_integer() or target.is_integer()
    return abs(source - target) < (1.0 if whole else 1e-5)


def _in_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    last = None
    for entry in entries:
        if last is not None and entry.name <= last:
            raise FetchError(f"listed out of order: {one_line(entry.name)} after {one_line(last)}", retry=False)
        last = entry.name
        yield entry


def _hides(hidden: list[str], name: str) -> bool:
    return any(name.startswith(folder) for folder in hidden)
