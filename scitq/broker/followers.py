"""Who follows what: changes of tasks, and output as it comes. Volatile; a client that reconnects asks again.

No follower has a queue here: what it was not told yet is remembered as places in streams and as numbers of tasks, and
is read on from the store and the state when its connection takes more. Of output it is sent at most what it granted
credit for; what was not kept meanwhile is marked as a gap.
"""

from collections import Counter, deque
from collections.abc import Callable

from scitq import wire
from scitq.broker import events
from scitq.broker.commands import Send
from scitq.broker.events import Entry, Log
from scitq.broker.follows import Key, OutputFollow, TaskFollow
from scitq.broker.kept import Piece, read
from scitq.broker.logs import LogStore
from scitq.broker.rules.reads import change_of, is_over, log_of
from scitq.broker.state import State
from scitq.broker.touched import touched_by
from scitq.errors import Conflict, NotFound
from scitq.model import MIB
from scitq.wire import CHUNK_LIMIT, FOLLOW_CREDIT, Change, Chunk, Ended

STREAMS: tuple[wire.StreamName, wire.StreamName] = ("stdout", "stderr")
NOT_KEPT = "past the limit of what is kept, or not read in time"
CHANGES_LIMIT = 2_000  # changes in one message
FOLLOWS_LIMIT = 100  # subscriptions of one connection
FOLLOWED_LIMIT = 1_000_000  # tasks that one connection follows: past that it may follow no more
TOLD_BYTES = MIB // 4  # about so much is told in one go, all followers together: other peers are served between
CHANGE_BYTES = 100  # about


class Followers:
    """All subscriptions of all connections.

    `takes_more(route, bytes)` says whether a connection has read enough to be told more than these bytes.
    """

    def __init__(self, state: State, store: LogStore, takes_more: Callable[[bytes, int], bool]) -> None:
        self._state = state
        self._store = store
        self._takes_more = takes_more
        self._tasks: dict[Key, TaskFollow] = {}
        self._output: dict[Key, OutputFollow] = {}
        self._by_task: dict[int, set[Key]] = {}
        self._by_route: dict[bytes, dict[int, int]] = {}  # connection -> subscription -> tasks followed by it
        self.behind: dict[Key, None] = {}  # those with more to tell, the longest waiting first

    # ------------------------------------------------------------------------ subscribing

    def follow(self, route: bytes, message: wire.Follow) -> None:
        """Begin with the present state of all that is followed; NotFound for what is not there."""
        state = self._state
        for task in message.tasks:
            if task not in state.tasks:
                raise NotFound(f"there is no task {task}")
        if message.batch is not None and message.batch not in state.batches:
            raise NotFound(f"there is no batch {message.batch}")
        size = len(message.tasks) if message.batch is None else state.batches[message.batch].size
        self._subscribe(route, message.id, size)
        tasks = message.tasks if message.batch is None else state.tasks.ids()
        self._tasks[route, message.id] = TaskFollow(route, message, tasks)

    def follow_output(self, route: bytes, message: wire.FollowOutput) -> None:
        """Begin with what is kept already."""
        attempt, _, _ = log_of(self._state, message.task, message.attempt, 0)
        self._subscribe(route, message.id, 1)
        self._output[route, message.id] = OutputFollow(route, message, attempt if message.attempt else 0)
        self._by_task.setdefault(message.task, set()).add((route, message.id))

    def _subscribe(self, route: bytes, number: int, size: int) -> None:
        self.unfollow(route, number)  # an id that is used again names the new subscription
        sizes = self._by_route.setdefault(route, {})
        if len(sizes) >= FOLLOWS_LIMIT or sum(sizes.values()) >= FOLLOWED_LIMIT:
            raise Conflict(
                f"this connection follows {len(sizes)} things and {sum(sizes.values())} tasks already, the limits are"
                f" {FOLLOWS_LIMIT} and {FOLLOWED_LIMIT}: `unfollow` some"
            )
        sizes[number] = size
        self.behind[route, number] = None

    def credit(self, route: bytes, message: wire.Credit) -> None:
        """Send on as far as the credit goes."""
        follow = self._output.get((route, message.follow))
        if follow is not None and message.bytes > 0:
            follow.credit = min(follow.credit + message.bytes, FOLLOW_CREDIT)
            self.behind[follow.key] = None

    def unfollow(self, route: bytes, number: int) -> None:
        """End a subscription, if there is one."""
        key = (route, number)
        self._tasks.pop(key, None)
        self.behind.pop(key, None)
        follow = self._output.pop(key, None)
        if follow is not None:
            keys = self._by_task[follow.task]
            keys.discard(key)
            if not keys:
                del self._by_task[follow.task]
        sizes = self._by_route.get(route)
        if sizes is not None:
            sizes.pop(number, None)
            if not sizes:
                del self._by_route[route]

    def drop(self, route: bytes) -> None:
        """End all subscriptions of a connection."""
        for number in list(self._by_route.get(route, ())):
            self.unfollow(route, number)

    # ------------------------------------------------------------------------ what there is to tell

    def after(self, entries: list[Entry]) -> None:
        """What a durable round means for those who follow."""
        if not self._tasks and not self._output:
            return
        touched = touched_by(entries)
        for task in touched & self._by_task.keys():
            self.behind.update(dict.fromkeys(self._by_task[task]))
        followed = {follow.batch for follow in self._tasks.values()} - {None}
        joined = {batch: {task for task in touched if self._joins(batch, task)} for batch in followed}
        submitted = [event for entry in entries for event in entry.events if isinstance(event, events.Submitted)]
        for follow in self._tasks.values():
            news = touched & follow.open
            if follow.batch is not None:
                news |= joined[follow.batch]
                for event in submitted:
                    follow.look_at(range(event.first, event.first + event.count))
            follow.changed(sorted(news))
            if follow.behind:
                self.behind[follow.key] = None

    def _joins(self, batch: str | None, task: int) -> bool:
        return task in self._state.tasks and self._state.batch_of(task) == batch

    def live(self, chunks: tuple[Chunk, ...]) -> list[Send]:
        """Bytes that are not stored: straight to those who have read up to them, or a gap."""
        sends: list[Send] = []
        given: Counter[bytes] = Counter()
        for chunk in chunks:
            if not chunk.live or not chunk.data or chunk.ref.task not in self._state.tasks:
                continue
            stream = STREAMS.index(chunk.stream)
            for key in self._by_task.get(chunk.ref.task, ()):
                follow = self._output[key]
                if follow.credit < len(chunk.data) or follow.offsets[stream] > chunk.offset:
                    continue
                _, log, over = self._log_of(follow, stream)
                if over or follow.offsets[stream] < log.head or not self._takes_more(key[0], given[key[0]]):
                    continue
                given[key[0]] += len(chunk.data)
                piece = Piece(chunk.offset, chunk.data, chunk.offset - follow.offsets[stream], "")
                sends.append(self._part(follow, chunk.ref.attempt, stream, piece))
        return sends

    # ------------------------------------------------------------------------ telling

    @property
    def ready(self) -> bool:
        """Whether there is more to tell to someone who takes it."""
        return any(self._takes_more(route, 0) for route, _ in self.behind)

    def tell(self) -> list[Send]:
        """The next of what there is to tell, to those who take more: a little each, in turn."""
        sends: list[Send] = []
        given: Counter[bytes] = Counter()
        turn = deque(self.behind)
        left = TOLD_BYTES
        while turn and left > 0:
            key = turn.popleft()
            if not self._takes_more(key[0], given[key[0]]):
                continue
            del self.behind[key]
            if key in self._tasks:
                told, weight, more = self._changes(self._tasks[key])
            else:
                told, weight, more = self._pump(self._output[key])
            sends += told
            given[key[0]] += weight
            left -= weight
            if more:
                self.behind[key] = None
                turn.append(key)
        return sends

    def _changes(self, follow: TaskFollow) -> tuple[list[Send], int, bool]:
        """Messages, what they weigh, and whether there are more."""
        tasks = follow.take(CHANGES_LIMIT)
        changes = []
        for task in tasks:
            if follow.batch is not None and task not in follow.open and not self._joins(follow.batch, task):
                continue
            change = change_of(self._state, task)
            if is_over(change.status):
                follow.open.discard(task)
                follow.ends.pop(task, None)
                follow.ends[task] = _ended(change)
            else:
                follow.open.add(task)
                if follow.ends_only:
                    continue
            changes.append(change)
        if len(follow.ends) > CHANGES_LIMIT:  # too many for the last message: only that matters by then
            for task in list(follow.ends)[: -CHANGES_LIMIT - 1]:
                del follow.ends[task]
        route, number = follow.key
        sends = [Send(route, wire.Changed(id=number, changes=tuple(changes)))] if changes else []
        if not follow.open and not follow.behind:
            ends = tuple(follow.ends.values()) if len(follow.ends) <= CHANGES_LIMIT else ()
            sends.append(Send(route, wire.FollowEnd(id=number, ends=ends)))
            self.unfollow(*follow.key)
        return sends, CHANGE_BYTES * (len(tasks) + 1), follow.behind

    def _pump(self, follow: OutputFollow) -> tuple[list[Send], int, bool]:
        """The next chunk of each stream that is kept and granted, what they weigh, and whether there may be more."""
        if follow.task not in self._state.tasks:
            return self._close(follow), CHANGE_BYTES, False
        sends: list[Send] = []
        weight, more = CHANGE_BYTES, False
        for stream in (0, 1):
            if follow.over[stream] or follow.credit <= 0:
                continue
            attempt, log, over = self._log_of(follow, stream)
            if follow.attempt == 0 and attempt:
                follow.attempt = attempt
            piece = read(self._store, log, follow.offsets[stream], min(CHUNK_LIMIT, follow.credit))
            if piece.data:
                sends.append(self._part(follow, attempt, stream, piece))
                weight += len(piece.data)
                more = True
            elif over:
                follow.over[stream] = True
                sends.append(self._last(follow, attempt, stream, log, piece.damage))
        if all(follow.over):
            return sends + self._close(follow), weight, False
        return sends, weight, more

    def _log_of(self, follow: OutputFollow, stream: int) -> tuple[int, Log, bool]:
        """As `log_of`; when this attempt was given back unstarted, of which no trace is left, of the latest."""
        try:
            return log_of(self._state, follow.task, follow.attempt, stream)
        except NotFound:
            follow.attempt = 0
            return log_of(self._state, follow.task, 0, stream)

    def _part(self, follow: OutputFollow, attempt: int, stream: int, piece: Piece) -> Send:
        follow.offsets[stream] = piece.offset + len(piece.data)
        follow.credit -= len(piece.data)
        part = wire.OutputPart(
            id=follow.key[1],
            task=follow.task,
            attempt=attempt,
            stream=STREAMS[stream],
            offset=piece.offset,
            data=piece.data,
            next=piece.offset + len(piece.data),
            gap=piece.gap,
            note=piece.damage or (NOT_KEPT if piece.gap else ""),
        )
        return Send(follow.key[0], part)

    @staticmethod
    def _last(follow: OutputFollow, attempt: int, stream: int, log: Log, damage: str) -> Send:
        part = wire.OutputPart(
            id=follow.key[1],
            task=follow.task,
            attempt=attempt,
            stream=STREAMS[stream],
            offset=follow.offsets[stream],
            data=b"",
            next=follow.offsets[stream],
            end=True,
            gap=max(0, log.total - follow.offsets[stream]),
            note=damage or log.note,
        )
        return Send(follow.key[0], part)

    def _close(self, follow: OutputFollow) -> list[Send]:
        self.unfollow(*follow.key)
        change = change_of(self._state, follow.task)
        ends = (_ended(change),) if is_over(change.status) else ()
        return [Send(follow.key[0], wire.FollowEnd(id=follow.key[1], ends=ends))]


def _ended(change: Change) -> Ended:
    return Ended(change.task, change.attempt, change.status, change.class_, change.exit_code, change.reason)
