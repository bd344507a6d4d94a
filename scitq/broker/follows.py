"""One subscription: what is followed, and how far it has been told."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from scitq import wire
from scitq.wire import FOLLOW_CREDIT, Ended

Key = tuple[bytes, int]  # the connection, and the id of the request


class TaskFollow:
    """Follows tasks by id or by batch until all have ended."""

    def __init__(self, route: bytes, message: wire.Follow, tasks: Iterable[int]) -> None:
        self.key: Key = (route, message.id)
        self.batch = message.batch
        self.ends_only = message.ends_only
        self.open: set[int] = set()  # those that have not ended, as far as was looked
        self.ends: dict[int, Ended] = {}
        self._news: dict[int, None] = {}  # changed since they were told, in order
        self._unseen: deque[Iterator[int]] = deque([iter(tasks)])  # not looked at yet

    @property
    def behind(self) -> bool:
        """Whether there is more to tell."""
        return bool(self._news or self._unseen)

    def changed(self, tasks: Iterable[int]) -> None:
        """These are to be told, once, however often they change until then."""
        self._news.update(dict.fromkeys(tasks))

    def look_at(self, tasks: Iterable[int]) -> None:
        """These may belong to what is followed."""
        self._unseen.append(iter(tasks))

    def take(self, most: int) -> list[int]:
        """The tasks to look at next."""
        tasks = list(islice(self._news, most))
        for task in tasks:
            del self._news[task]
        while self._unseen and len(tasks) < most:
            more = list(islice(self._unseen[0], most - len(tasks)))
            if not more:
                self._unseen.popleft()
            tasks += more
        return tasks


class OutputFollow:
    """Follows both streams of one attempt."""

    def __init__(self, route: bytes, message: wire.FollowOutput, attempt: int) -> None:
        self.key: Key = (route, message.id)
        self.task = message.task
        self.attempt = attempt
        self.offsets = [max(message.stdout, 0), max(message.stderr, 0)]
        self.over = [False, False]
        self.credit = FOLLOW_CREDIT
