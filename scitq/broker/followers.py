"""Who follows what: changes of tasks, and output as it comes. Volatile; a client that reconnects asks again.

No follower has a queue here. Of output it is sent at most what it granted credit for; the broker remembers a place in
the stream, reads on from the store when more credit comes, and marks as a gap what was not kept meanwhile.
"""

from typing import TYPE_CHECKING

from scitq import wire
from scitq.broker import events
from scitq.broker.commands import Send
from scitq.broker.events import Entry, Log
from scitq.broker.intervals import members
from scitq.broker.log_reader import LogsDamaged
from scitq.broker.logs import LogStore
from scitq.broker.rules.reads import change_of, is_over, log_of
from scitq.broker.state import State
from scitq.errors import NotFound
from scitq.wire import CHUNK_LIMIT, FOLLOW_CREDIT, Change, Chunk, Ended

if TYPE_CHECKING:
    from collections.abc import Iterable

STREAMS: tuple[wire.StreamName, wire.StreamName] = ("stdout", "stderr")
NOT_KEPT = "past the limit of what is kept, or not read in time"
CHANGES_LIMIT = 2_000  # changes in one message


class _TaskFollow:
    """Follows tasks by id or by batch until all have ended."""

    def __init__(self, route: bytes, message: wire.Follow) -> None:
        self.route = route
        self.id = message.id
        self.batch = message.batch
        self.ends_only = message.ends_only
        self.open: set[int] = set()
        self.ends: list[Ended] = []


class _OutputFollow:
    """Follows both streams of one attempt."""

    def __init__(self, route: bytes, message: wire.FollowOutput) -> None:
        self.route = route
        self.id = message.id
        self.task = message.task
        self.attempt = message.attempt
        self.offsets = [max(message.stdout, 0), max(message.stderr, 0)]
        self.over = [False, False]
        self.credit = FOLLOW_CREDIT


class Followers:
    """All subscriptions of all connections."""

    def __init__(self, state: State, store: LogStore) -> None:
        self._state = state
        self._store = store
        self._tasks: dict[tuple[bytes, int], _TaskFollow] = {}
        self._output: dict[tuple[bytes, int], _OutputFollow] = {}
        self._by_task: dict[int, set[tuple[bytes, int]]] = {}

    # ------------------------------------------------------------------------ subscribing

    def follow(self, route: bytes, message: wire.Follow) -> list[Send]:
        """Begin with the present state of all that is followed; NotFound for what is not there."""
        state = self._state
        for task in message.tasks:
            if task not in state.tasks:
                raise NotFound(f"there is no task {task}")
        if message.batch is not None and message.batch not in state.batches:
            raise NotFound(f"there is no batch {message.batch}")
        follow = _TaskFollow(route, message)
        tasks: Iterable[int] = message.tasks
        if message.batch is not None:
            tasks = [task for task in state.tasks.ids() if state.batch_of(task) == message.batch]
        changes = []
        for task in tasks:
            change = change_of(state, task)
            if not is_over(change.status):
                follow.open.add(task)
                if message.ends_only:
                    continue
            changes.append(change)
        self.unfollow(route, message.id)  # an id that is used again names the new subscription
        self._tasks[route, message.id] = follow
        return self._say(follow, changes)

    def follow_output(self, route: bytes, message: wire.FollowOutput) -> list[Send]:
        """Begin with what is kept already."""
        attempt, _, _ = log_of(self._state, message.task, message.attempt, 0)
        follow = _OutputFollow(route, message)
        if message.attempt:
            follow.attempt = attempt
        self.unfollow(route, message.id)
        self._output[route, message.id] = follow
        self._by_task.setdefault(message.task, set()).add((route, message.id))
        return self._pump(follow)

    def credit(self, route: bytes, message: wire.Credit) -> list[Send]:
        """Send on as far as the credit goes."""
        follow = self._output.get((route, message.follow))
        if follow is None or message.bytes <= 0:
            return []
        follow.credit = min(follow.credit + message.bytes, FOLLOW_CREDIT)
        return self._pump(follow)

    def unfollow(self, route: bytes, number: int) -> None:
        """End a subscription, if there is one."""
        self._tasks.pop((route, number), None)
        follow = self._output.pop((route, number), None)
        if follow is not None:
            self._forget(follow)

    def drop(self, route: bytes) -> None:
        """End all subscriptions of a connection."""
        for key in [key for key in (*self._tasks, *self._output) if key[0] == route]:
            self.unfollow(*key)

    # ------------------------------------------------------------------------ pushing

    def after(self, entries: list[Entry]) -> list[Send]:
        """What a durable round means for those who follow."""
        sends: list[Send] = []
        if not self._tasks and not self._output:
            return sends
        touched = _touched(entries)
        for task in touched & self._by_task.keys():
            for key in list(self._by_task.get(task, ())):
                sends += self._pump(self._output[key])
        for follow in list(self._tasks.values()):
            tasks = touched & follow.open
            if follow.batch is not None:
                tasks |= {task for task in touched if self._joins(follow, task)}
            if tasks:
                changes = [change_of(self._state, task) for task in sorted(tasks)]
                for change in changes:
                    if is_over(change.status):
                        follow.open.discard(change.task)
                    else:
                        follow.open.add(change.task)
                shown = [change for change in changes if is_over(change.status)] if follow.ends_only else changes
                sends += self._say(follow, shown)
        return sends

    def live(self, chunks: tuple[Chunk, ...]) -> list[Send]:
        """Bytes that are not stored: straight to those who have read up to them, or a gap."""
        sends: list[Send] = []
        for chunk in chunks:
            if not chunk.live or not chunk.data or chunk.ref.task not in self._state.tasks:
                continue
            stream = STREAMS.index(chunk.stream)
            for key in self._by_task.get(chunk.ref.task, ()):
                follow = self._output[key]
                if follow.credit < len(chunk.data) or follow.offsets[stream] > chunk.offset:
                    continue
                _, log, over = self._log_of(follow, stream)
                if over or follow.offsets[stream] < log.head:
                    continue
                gap = chunk.offset - follow.offsets[stream]
                sends.append(self._part(follow, chunk.ref.attempt, stream, chunk.offset, chunk.data, gap))
        return sends

    def _joins(self, follow: _TaskFollow, task: int) -> bool:
        return task in self._state.tasks and self._state.batch_of(task) == follow.batch

    def _say(self, follow: _TaskFollow, changes: list[Change]) -> list[Send]:
        for change in changes:
            if is_over(change.status):
                follow.ends.append(
                    Ended(change.task, change.attempt, change.status, change.class_, change.exit_code, change.reason)
                )
        sends = [
            Send(follow.route, wire.Changed(id=follow.id, changes=tuple(changes[start : start + CHANGES_LIMIT])))
            for start in range(0, len(changes), CHANGES_LIMIT)
        ]
        if not follow.open:
            ends = tuple(follow.ends) if len(follow.ends) <= CHANGES_LIMIT else ()
            sends.append(Send(follow.route, wire.FollowEnd(id=follow.id, ends=ends)))
            self._tasks.pop((follow.route, follow.id), None)
        elif len(follow.ends) > CHANGES_LIMIT:
            follow.ends = follow.ends[-CHANGES_LIMIT - 1 :]
        return sends

    def _pump(self, follow: _OutputFollow) -> list[Send]:
        """Send what is kept and granted; close the streams that are over."""
        sends: list[Send] = []
        if follow.task not in self._state.tasks:
            return self._close(follow)
        for stream in (0, 1):
            while not follow.over[stream] and follow.credit > 0:
                attempt, log, over = self._log_of(follow, stream)
                if follow.attempt == 0 and attempt:
                    follow.attempt = attempt
                offset, data, gap = read(self._store, log, follow.offsets[stream], min(CHUNK_LIMIT, follow.credit))
                if data:
                    sends.append(self._part(follow, attempt, stream, offset, data, gap))
                    continue
                if over:
                    follow.over[stream] = True
                    part = wire.OutputPart(
                        id=follow.id,
                        task=follow.task,
                        attempt=attempt,
                        stream=STREAMS[stream],
                        offset=follow.offsets[stream],
                        data=b"",
                        next=follow.offsets[stream],
                        end=True,
                        gap=max(0, log.total - follow.offsets[stream]),
                        note=log.note,
                    )
                    sends.append(Send(follow.route, part))
                break
        if all(follow.over):
            sends += self._close(follow)
        return sends

    def _log_of(self, follow: _OutputFollow, stream: int) -> tuple[int, Log, bool]:
        """As `log_of`; when this attempt was given back unstarted, of which no trace is left, of the latest."""
        try:
            return log_of(self._state, follow.task, follow.attempt, stream)
        except NotFound:
            follow.attempt = 0
            return log_of(self._state, follow.task, 0, stream)

    def _part(self, follow: _OutputFollow, attempt: int, stream: int, offset: int, data: bytes, gap: int) -> Send:
        follow.offsets[stream] = offset + len(data)
        follow.credit -= len(data)
        part = wire.OutputPart(
            id=follow.id,
            task=follow.task,
            attempt=attempt,
            stream=STREAMS[stream],
            offset=offset,
            data=data,
            next=offset + len(data),
            gap=gap,
            note=NOT_KEPT if gap else "",
        )
        return Send(follow.route, part)

    def _close(self, follow: _OutputFollow) -> list[Send]:
        self.unfollow(follow.route, follow.id)
        change = change_of(self._state, follow.task)
        ends: tuple[Ended, ...] = ()
        if is_over(change.status):
            ends = (
                Ended(change.task, change.attempt, change.status, change.class_, change.exit_code, change.reason),
            )
        return [Send(follow.route, wire.FollowEnd(id=follow.id, ends=ends))]

    def _forget(self, follow: _OutputFollow) -> None:
        keys = self._by_task.get(follow.task, set())
        keys.discard((follow.route, follow.id))
        if not keys:
            self._by_task.pop(follow.task, None)


def read(store: LogStore, log: Log, offset: int, limit: int) -> tuple[int, bytes, int]:
    """Kept bytes from `offset` on: where they begin, the bytes, and how many before them are not kept."""
    start = max(offset, log.tail) if log.head <= offset < log.tail else offset
    if log.pointer is None or start >= log.total:
        return offset, b"", 0
    try:
        pieces = store.read(log.pointer, start, limit)
    except LogsDamaged as damage:
        if damage.resume <= start:
            return offset, b"", 0
        found, data, _ = read(store, log, damage.resume, limit)
        return found, data, found - offset
    if not pieces:
        return offset, b"", 0
    first, data = pieces[0]
    joined = [data]
    following = first + len(data)
    for place, more in pieces[1:]:
        if place != following:
            break
        joined.append(more)
        following += len(more)
    return first, b"".join(joined), first - offset


def _touched(entries: list[Entry]) -> set[int]:
    touched: set[int] = set()
    for entry in entries:
        for event in entry.events:
            match event:
                case events.Cancelled() | events.Relaunched() | events.Deleted() | events.Edited():
                    touched.update(members(event.tasks))
                case events.Submitted(_, first, count):
                    touched.update(range(first, first + count))
                case events.LogKept(marks):
                    touched.update(mark[0] for mark in marks)
                case events.Ended(task) | events.Reinstated(task):
                    touched.add(task)
                case (
                    events.Assigned() | events.Asked() | events.Returned() | events.Requeued() | events.Kept()
                    | events.Entered()
                ):  # fmt: skip
                    touched.update(event.tasks)
                case _:
                    pass
    return touched
