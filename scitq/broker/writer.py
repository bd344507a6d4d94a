"""The sync thread: output to disk, then the frame that names it, then word to the loop; one round at a time.

The loop never waits for a disk: it hands over a round and goes on collecting the next. After a failure the round
stays here and is tried again, into a new segment; nothing later is written before it.
"""

import os
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple

from scitq.broker.door import Parcel
from scitq.broker.events import Entry
from scitq.broker.journal import Journal, JournalFailed
from scitq.broker.logs import Batch, LogsFailed, LogStore

PAUSE_SECONDS = 0.5
GIVE_UP_SECONDS = 600.0


class Round(NamedTuple):
    """What must be durable together, and what may be said after that."""

    body: bytes | None
    output: Batch
    entries: list[Entry]
    parcels: list[Parcel]
    released: list[int]  # streams that nothing names once this is durable


class Writer:
    """Owns the journal from the moment it is live; `fd` becomes readable when a round is durable."""

    def __init__(self, journal: Journal, store: LogStore) -> None:
        self._journal = journal
        self._store = store
        self._orders: SimpleQueue[Round | Callable[[], None] | None] = SimpleQueue()
        self._durable: SimpleQueue[Round] = SimpleQueue()
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.trouble = ""  # why the disk refuses at present, "" when all is well
        self.given_up = False
        self.in_flight: Round | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, one: Round) -> None:
        """Hand a round over; only when none is in flight."""
        assert self.in_flight is None
        self.in_flight = one
        self._orders.put(one)

    def call(self, job: Callable[[], None]) -> None:
        """Have the journal's one caller do something between rounds."""
        self._orders.put(job)

    def durable(self) -> Round | None:
        """The round that is on disk now, once; None when there is none."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return None
        if self._durable.empty():
            return None
        self.in_flight = None
        return self._durable.get()

    def close(self) -> None:
        """Finish what was handed over, then end the thread."""
        self._closing.set()
        self._orders.put(None)
        self._thread.join()
        os.close(self.fd)

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            if isinstance(order, Round):
                self._store_round(order)
                if self.given_up:
                    return
            else:
                order()

    def _store_round(self, one: Round) -> None:
        output, recovering = one.output, False
        since = time.monotonic()
        while True:
            try:
                if output:
                    self._store.write(output)
                    output = []
                if one.body is not None:
                    if recovering:
                        self._journal.recover([one.body])
                    else:
                        self._journal.append(one.body)
                break
            except (JournalFailed, LogsFailed) as problem:
                recovering = recovering or isinstance(problem, JournalFailed)
                self.trouble = str(problem)
                if time.monotonic() - since > GIVE_UP_SECONDS or self._closing.is_set():
                    self.given_up = True
                    os.eventfd_write(self.fd, 1)
                    return
                self._closing.wait(PAUSE_SECONDS)
        self.trouble = ""
        self._durable.put(one)
        os.eventfd_write(self.fd, 1)
