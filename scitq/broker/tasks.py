"""Where a million tasks rest: specifications packed and shared, a slot only for what was touched.

A submit is one `Submission`: its packed specifications, or one array. A slot of a page holds nothing (pending,
never touched), a `Live` task, or the packed `EndRecord` of an ended one. A `Task` of the model is a view made on
demand.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
from msgspec import Struct

from scitq.broker.events import Result, Standby
from scitq.broker.intervals import IntervalSet
from scitq.errors import NotFound
from scitq.model import DEFAULT_BATCH, Array, Changes, Range, Spec, Word
from scitq.needs import Needs, Request, needs_of
from scitq.wire import pack_spec, unpack_spec

PAGE = 1024
PENDING_STATUS = "pending"


class Waiting(NamedTuple):
    """For tasks that have not succeeded."""

    missing: set[int]
    status: str = "waiting"


class Pending(NamedTuple):
    """For a worker with room."""

    status: str = PENDING_STATUS


class Held(NamedTuple):
    """By a worker: `status` is the phase; `halted`: a user wants it ended."""

    worker: int
    attempt: int
    epoch: int
    status: str
    assigned_at: float
    started_at: float | None = None
    halted: bool = False


class Returning(NamedTuple):
    """Asked back from its worker: it goes nowhere until the answer."""

    held: Held
    intent: str
    changes: Changes | None
    standby: Standby | None
    status: str = "returning"


Place = Waiting | Pending | Held | Returning
PENDING = Pending()


class Lane(NamedTuple):
    """Where a task queues in its batch: with those of its priority that ask the same of a worker."""

    priority: int
    needs: Needs


class Head(Request):
    """What placement needs of a specification; the rest is not decoded."""

    batch: str = DEFAULT_BATCH
    priority: int = 0
    requires: tuple[int, ...] = ()

    @property
    def group(self) -> tuple[str, Lane, tuple[int, ...]]:
        """What consecutive tasks have in common to be one group."""
        return self.batch, lane_of(self), self.requires


heads = msgspec.msgpack.Decoder(Head)


def lane_of(spec: Spec | Head) -> Lane:
    """Where a task of this specification queues."""
    return Lane(spec.priority, needs_of(spec))


class LogEnd(NamedTuple):
    """How far a stream of the current attempt is kept: next byte expected, last record, start of the tail."""

    next: int = 0
    pointer: int = -1
    head: int = -1  # bytes kept before a cut; -1: no cut yet
    tail: int = 0
    refused: str = ""

    def kept(self, following: int, pointer: int, tail: int) -> "LogEnd":
        """Bytes up to `following` are kept too; `tail` is where they begin when a cut lies before them, else 0."""
        head = self.next if tail and self.head < 0 else self.head
        return LogEnd(following, pointer, head, tail or self.tail, self.refused)


class Live:
    """A task that was touched and has not ended."""

    __slots__ = (
        "attempt",
        "barred",
        "batch",
        "failures",
        "id",
        "lane",
        "let_go",
        "logs",
        "losses",
        "past",
        "place",
    )

    def __init__(self, number: int, batch: str, lane: Lane) -> None:
        self.id = number
        self.batch = batch
        self.lane = lane
        self.place: Place = PENDING
        self.attempt = 0  # the last number used
        self.failures = 0
        self.losses = 0
        self.barred = 0  # attempts up to this one ran another specification: never current again
        self.let_go: Held | None = None  # the last hold that ended unanswered: it may still be kept there
        self.past: tuple[Result, ...] = ()
        self.logs: dict[int, LogEnd] = {}

    @property
    def held(self) -> Held | None:
        """The worker's hold on the current attempt, asked back or not."""
        place = self.place
        if type(place) is Held:
            return place
        return place.held if type(place) is Returning else None

    def __str__(self) -> str:
        """The task's story: what is known, in one line, for whoever must understand a fault."""
        return f"attempt {self.attempt}, {self.place}, past {self.past}"


class EndRecord(Struct, frozen=True, array_like=True):
    """An ended task as it rests."""

    status: int  # place in events.RESULTS
    attempt: int
    failures: int
    losses: int
    past: tuple[Result, ...]
    reason: str = ""  # of an end without an attempt


_pack_end = msgspec.msgpack.Encoder().encode
_unpack_end = msgspec.msgpack.Decoder(EndRecord).decode


def pack_end(record: EndRecord) -> bytes:
    """The record as bytes (about 50 for an uneventful task)."""
    return _pack_end(record)


def unpack_end(packed: bytes) -> EndRecord:
    """The record in bytes that `pack_end` made."""
    return _unpack_end(packed)


class Group(NamedTuple):
    """Consecutive tasks of one batch and lane, up to `last`."""

    last: int
    batch: str
    lane: Lane


class Submission:
    """What one submit brought: `count` tasks from `first`."""

    __slots__ = ("array", "at", "by", "count", "deleted", "first", "groups", "request", "specs")

    def __init__(
        self,
        first: int,
        specs: list[bytes] | None,
        array: Array | None,
        request: str,
        by: str,
        at: float,
    ) -> None:
        self.first = first
        self.specs = specs
        self.array = array
        self.count = array.count if array is not None else len(specs or ())
        self.request = request
        self.by = by
        self.at = at
        self.deleted = 0
        self.groups: list[Group] = []

    def group(self, task: int) -> Group:
        """The group that the task was submitted into."""
        groups = self.groups
        if len(groups) == 1:
            return groups[0]
        return groups[bisect_right(groups, task - 1, key=lambda group: group.last)]


class TaskTable:
    """All tasks by id."""

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self._firsts: list[int] = []
        self._pages: dict[int, list[Live | bytes | None]] = {}
        self.edited: dict[int, bytes] = {}
        self.deleted = IntervalSet()
        self.next = 1

    def add(self, submission: Submission) -> None:
        """Take a submission in; its ids follow the last."""
        self.submissions.append(submission)
        self._firsts.append(submission.first)
        self.next = submission.first + submission.count

    def __contains__(self, task: int) -> bool:
        return 0 < task < self.next and not (self.deleted and task in self.deleted)

    def slot(self, task: int) -> Live | bytes | None:
        """What the task's slot holds: nothing, a live task, the record of an ended one."""
        page = self._pages.get(task >> 10)
        return page[task & 1023] if page is not None else None

    def put(self, task: int, content: Live | bytes | None) -> None:
        """Fill the slot."""
        page = self._pages.get(task >> 10)
        if page is None:
            page = self._pages[task >> 10] = [None] * PAGE
        page[task & 1023] = content

    def submission(self, task: int) -> Submission:
        """The submit that brought the task; NotFound when there is no such task."""
        if task not in self:
            raise NotFound(f"there is no task {task}")
        return self.submissions[bisect_right(self._firsts, task) - 1]

    def packed(self, task: int) -> bytes:
        """The task's specification as it travels."""
        edited = self.edited.get(task)
        if edited is not None:
            return edited
        submission = self.submission(task)
        if submission.specs is not None:
            return submission.specs[task - submission.first]
        return pack_spec(self.spec(task))

    def spec(self, task: int) -> Spec:
        """The task's specification."""
        edited = self.edited.get(task)
        if edited is not None:
            return unpack_spec(edited)
        submission = self.submission(task)
        if submission.specs is not None:
            return unpack_spec(submission.specs[task - submission.first])
        assert submission.array is not None
        return expand(submission.array, task - submission.first)

    def touch(self, task: int) -> Live:
        """The live task, made when it was pending and untouched; ended ones are the caller's fault."""
        slot = self.slot(task)
        if type(slot) is Live:
            return slot
        assert slot is None, f"task {task} has ended"
        return self.begin(task)

    def begin(self, task: int) -> Live:
        """The live task of an empty slot; NotFound when there is no such task."""
        group = self.submission(task).group(task)
        live = Live(task, group.batch, group.lane)
        self.put(task, live)
        return live

    def touched(self) -> Iterator[tuple[int, Live | bytes]]:
        """Every slot that is not empty, by id."""
        for number in sorted(self._pages):
            for task, slot in enumerate(self._pages[number], number << 10):
                if slot is not None:
                    yield task, slot

    def ids(self, after: int = 0) -> Iterator[int]:
        """All ids above `after`, in order."""
        deleted = self.deleted
        for task in range(after + 1, self.next):
            if task not in deleted:
                yield task


_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def expand(array: Array, row: int) -> Spec:
    """Row `row` (from 0) of an array: `{name}` stands for that column's value; unknown names stay as they are."""
    values: dict[str, Word] = {}
    for name, column in array.columns.items():
        value = column.start + row * column.step if isinstance(column, Range) else column[row]
        values[name] = str(value) if isinstance(value, int) else value
    template = array.template
    return msgspec.structs.replace(
        template,
        command=tuple(_fill(word, values) for word in template.command),
        name=_text(template.name, values),
        inputs=tuple(_text(uri, values) for uri in template.inputs),
        resources=tuple(_text(uri, values) for uri in template.resources),
        output=_text(template.output, values),
        env={key: _fill(word, values) for key, word in template.env.items()},
    )


def _fill(word: Word, values: Mapping[str, Word]) -> Word:
    if isinstance(word, bytes) or "{" not in word:
        return word
    whole = _PLACEHOLDER.fullmatch(word)
    if whole and whole[1] in values:
        return values[whole[1]]
    raw = _text(word, values).encode(errors="surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _text(text: str, values: Mapping[str, Word]) -> str:
    if "{" not in text:
        return text

    def value(found: re.Match[str]) -> str:
        filled = values.get(found[1], found[0])
        return filled.decode(errors="surrogateescape") if isinstance(filled, bytes) else filled

    return _PLACEHOLDER.sub(value, text)
