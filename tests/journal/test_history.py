"""Any history of appends, failures, crashes, folds and starts keeps a beginning with all that was synced."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scitq.broker.compaction import fold
from scitq.broker.frames import FRAME_BYTES
from scitq.broker.journal import Journal, JournalFailed
from scitq.broker.repair import check
from tests.journal.kit import last_segment, start

SEGMENT = 700


class History(RuleBasedStateMachine):
    """`synced` is what append and recover have promised; `pending` what a crash may keep or lose."""

    journal: Journal

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="scitq-journal-"))
        self.synced: list[bytes] = []
        self.pending: list[bytes] = []
        self.journal, _ = start(self.folder, SEGMENT, SEGMENT)

    @rule(body=st.binary(max_size=300))
    def append(self, body: bytes) -> None:
        if self.pending:
            return
        self.journal.append(body)
        self.synced.append(body)

    @rule(body=st.binary(max_size=300), call=st.sampled_from(["pwrite", "fdatasync", "fsync", "rename"]))
    def fail(self, body: bytes, call: str) -> None:
        real = getattr(os, call)

        def failing(*_: object) -> None:
            raise OSError(28, "No space left on device")

        setattr(os, call, failing)
        try:
            if self.pending:
                self.journal.recover([*self.pending, body])
                self.pending.append(body)
                self._promised()
            else:
                self.journal.append(body)
                self.synced.append(body)
        except JournalFailed:
            self.pending.append(body)
        finally:
            setattr(os, call, real)

    @rule()
    def recover(self) -> None:
        self.journal.recover(self.pending)
        self._promised()

    @rule(keep=st.floats(0, 1), garbage=st.binary(max_size=40))
    def crash(self, keep: float, garbage: bytes) -> None:
        """A frame was being written: some of it is there, or something else is."""
        if not self.pending:
            body = b"torn " * 20
            path = last_segment(self.folder)
            offset = self.journal._believed.end
            with path.open("r+b") as file:
                file.seek(offset)
                file.write((bytes(FRAME_BYTES) + body)[: int(keep * 120)] + garbage)
        self._restart()

    @rule()
    def stop(self) -> None:
        self.journal.close()
        self._restart()

    @rule(forget=st.integers(0, 3), adopt=st.booleans())
    def compact(self, forget: int, adopt: bool) -> None:
        upto = self.journal.sealed().upto
        if not upto:
            return
        folded: list[bytes] = []

        def dump(bodies: Iterator[bytes]) -> Iterator[bytes]:
            folded.extend(bodies)
            return iter(folded[forget:])

        fold(self.folder, upto, dump)
        assert self.synced[: len(folded)] == folded
        del self.synced[: min(forget, len(folded))]
        if adopt:
            self.journal.adopt_snapshot()

    def _promised(self) -> None:
        self.synced += self.pending
        self.pending = []

    def _restart(self) -> None:
        self.journal, bodies = start(self.folder, SEGMENT, SEGMENT)
        assert bodies[: len(self.synced)] == self.synced
        assert bodies[len(self.synced) :] == self.pending[: len(bodies) - len(self.synced)]
        self.synced, self.pending = bodies, []

    @invariant()
    def sound(self) -> None:
        if hasattr(self, "folder"):
            assert not [finding for finding in check(self.folder) if not finding.torn]

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.journal.close()
            shutil.rmtree(self.folder)


TestHistory = History.TestCase
