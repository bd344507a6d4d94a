"""Compaction, seen from the loop: a child process folds sealed segments, the sync thread adopts its snapshot."""

import logging
import subprocess
import sys
import threading
from pathlib import Path

from scitq.broker.journal import Journal, Sealed
from scitq.broker.logs import LogStore
from scitq.broker.writer import Writer

log = logging.getLogger("scitq.broker")

WORTH_BYTES = 20 << 20  # nearly a whole segment: what a start reads slowly stays short
WORTH_SHARE = 4  # and at least such a part of the snapshot, which a fold reads and writes anew
WORTH_FILES = 8
PAUSE_SECONDS = 30.0


class Compactor:
    """Starts a fold when it is worth it; never more than one."""

    def __init__(self, folder: Path, journal: Journal, writer: Writer) -> None:
        self._folder = folder
        self._journal = journal
        self._writer = writer
        self._child: subprocess.Popen[bytes] | None = None
        self._next = 0.0
        self._reclaiming: threading.Thread | None = None

    def tick(self, monotonic: float) -> None:
        """Look after the child, or start one."""
        if self._child is not None:
            code = self._child.poll()
            if code is None:
                return
            self._child = None
            self._next = monotonic + PAUSE_SECONDS
            if code == 0:
                self._writer.call(self._adopt)
            else:
                log.warning("the compaction ended with code %s; the journal is as it was", code)
            return
        if self._journal.tight:
            self._writer.call(self._provision)
        sealed = self._journal.sealed()
        if sealed.upto and monotonic >= self._next and self._worth(sealed):
            command = [sys.executable, "-m", "scitq.broker.folding", str(self._folder), str(sealed.upto)]
            self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def _worth(self, sealed: Sealed) -> bool:
        if self._journal.tight or sealed.files >= WORTH_FILES:
            return True
        return sealed.size >= max(WORTH_BYTES, sealed.base / WORTH_SHARE)

    def reclaim(self, store: LogStore) -> None:
        """Give the disk back what deleted tasks had written, away from the loop."""
        if self._reclaiming is None or not self._reclaiming.is_alive():
            self._reclaiming = threading.Thread(target=_reclaim, args=(store,), name="reclaim", daemon=True)
            self._reclaiming.start()

    def stop(self) -> None:
        """End the child; half a snapshot is never believed."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def _adopt(self) -> None:
        self._journal.adopt_snapshot()

    def _provision(self) -> None:
        self._journal.provision()


def _reclaim(store: LogStore) -> None:
    try:
        store.reclaim()
    except OSError as problem:
        log.warning("released output stays on disk until the next start: %s", problem)
