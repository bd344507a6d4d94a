"""What a caller writes in Python -> what the wire carries: words, paths, options, columns, ids."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from scitq import wire
from scitq.errors import UsageError
from scitq.model import Array, Changes, Range, Spec, Word

Text: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"
Ids: TypeAlias = int | Iterable[int]
TaskLike: TypeAlias = "Spec | Mapping[str, Any] | Sequence[Text]"

PART_BYTES = 1024 * 1024  # of specifications in one part of a submit, unless one alone is larger
IDS_LIMIT = 100_000  # ids in one message

C = TypeVar("C", Spec, Changes)


def word(value: Text, what: str) -> Word:
    """One word as it travels: `str` when it is valid UTF-8, `bytes` when not; raises UsageError."""
    plain: object = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(plain, str | bytes):
        raise UsageError(f"{what}: a word is text, not {type(plain).__name__}: {plain!r}")
    try:
        raw = plain.encode("utf-8", "surrogateescape") if isinstance(plain, str) else plain
    except UnicodeEncodeError:
        raise UsageError(f"{what}: not text: {plain!r}") from None
    if b"\0" in raw:
        raise UsageError(f"{what}: a word cannot hold a zero byte: {plain!r}")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def words(command: Iterable[Text]) -> tuple[Word, ...]:
    """The words of a command; a text given alone is refused, as nobody can know where its words end."""
    if isinstance(command, str | bytes | os.PathLike) or not isinstance(command, Iterable):
        raise UsageError(
            f"a command is a list of words, not {command!r}: write ['ls', '-l'], "
            "or ['sh', '-c', 'ls | wc -l'] for a line of shell"
        )
    return tuple(word(each, "command") for each in command)


def spec(task: TaskLike) -> Spec:
    """The specification in what `submit_many` takes: a Spec, a mapping of its fields, or the words alone."""
    if isinstance(task, Spec):
        return task
    if isinstance(task, Mapping):
        return build(Spec, task)
    return build(Spec, {"command": task})


def build(kind: type[C], options: Mapping[str, Any]) -> C:
    """A Spec or Changes of these options; UsageError names the one that is unknown or wrong."""
    known = kind.__struct_fields__
    for name in options:
        if name not in known:
            raise UsageError(f"unknown option {name!r}; there are: {', '.join(known)}")
    try:
        return msgspec.convert({name: _plain(name, value) for name, value in options.items()}, kind)
    except msgspec.ValidationError as problem:
        raise UsageError(f"not a task: {problem}") from None


def pack(task: TaskLike) -> bytes:
    """The specification of a task as it travels."""
    try:
        return wire.pack_spec(spec(task))
    except UnicodeEncodeError as problem:
        raise UsageError(f"not a task: not valid UTF-8: {problem.object!r}") from None
    except OverflowError as problem:
        raise UsageError(f"not a task: a number is too large: {problem}") from None


def array(template: TaskLike, rows: int, columns: Mapping[str, Iterable[Any]]) -> Array:
    """An array of `rows` tasks; a `range` stays as small as it is. UsageError when a column has not `rows` values."""
    made: dict[str, tuple[Word | int, ...] | Range] = {}
    for name, values in columns.items():
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise UsageError(f"column {name}: a list of values, not {values!r}")
        column = values if isinstance(values, range) else tuple(_cell(value, f"column {name}") for value in values)
        if len(column) != rows:
            raise UsageError(f"column {name} has {len(column)} values for {rows} tasks")
        made[name] = Range(column.start, column.step) if isinstance(column, range) else column
    return Array(template=spec(template), count=rows, columns=made)


def parts(tasks: Iterable[TaskLike]) -> Iterator[tuple[tuple[msgspec.Raw, ...], bool]]:
    """The tasks packed, in parts of a bounded count and size, and whether it is the last; none for no task."""
    part: list[msgspec.Raw] = []
    size = 0
    for task in tasks:
        packed = pack(task)
        if part and (len(part) == wire.PART_LIMIT or size + len(packed) > PART_BYTES):
            yield tuple(part), False
            part, size = [], 0
        part.append(msgspec.Raw(packed))
        size += len(packed)
    if part:
        yield tuple(part), True


def ids(which: Ids) -> tuple[int, ...]:
    """Task ids, one or many, each once, in the order given."""
    many = (which,) if isinstance(which, int) else which
    if isinstance(many, str | bytes) or not isinstance(many, Iterable):
        raise UsageError(f"task ids are whole numbers, not {which!r}")
    found = tuple(dict.fromkeys(many))
    for each in found:
        if type(each) is not int or each < 1:
            raise UsageError(f"a task id is a whole number from 1, not {each!r}")
    return found


def selects(which: Ids | wire.Select) -> Iterator[wire.Select]:
    """The selections that together mean `which`, each small enough for one message."""
    if isinstance(which, wire.Select):
        yield which
        return
    for piece in pieces(ids(which)):
        yield wire.Select(ids=piece)


def conditions(
    which: Ids | None, batch: str | None, status: Iterable[str] | None, name: str | None
) -> Iterator[wire.Select]:
    """The selections that together mean all these conditions."""
    states = (status,) if isinstance(status, str) else status
    rest = wire.Select(batch=batch, status=None if states is None else tuple(states), name=name)
    if which is None:
        yield rest
        return
    for piece in pieces(ids(which)):
        yield msgspec.structs.replace(rest, ids=piece)


def pieces(found: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The ids again, in pieces that fit a message."""
    for start in range(0, len(found), IDS_LIMIT):
        yield found[start : start + IDS_LIMIT]


def _plain(name: str, value: Any) -> Any:
    if name == "command":
        return words(value)
    if name == "env" and isinstance(value, Mapping):
        return {key: word(text, f"env {key}") for key, text in value.items()}
    if name in {"inputs", "resources"}:
        if isinstance(value, str | bytes | os.PathLike):
            raise UsageError(f"{name}: a list of URIs, not {value!r}")
        return tuple(_uri(name, each) for each in value)
    if name == "output":
        return _uri(name, value)
    if name == "requires":
        return ids(value)
    if name in {"mem", "disk"} and isinstance(value, str):
        raise UsageError(f"{name}: a number of bytes, as 16 << 30 for 16 GiB, not {value!r}")
    return value


def _uri(name: str, value: Text) -> str:
    text = word(value, name)
    if not isinstance(text, str):
        raise UsageError(f"{name}: not valid UTF-8: {value!r}")
    return text


def _cell(value: Any, what: str) -> Word | int:
    return value if type(value) is int else word(value, what)
