"""The live journal: append, replay, and a new segment whenever the one before cannot go on. It knows bytes,
not tasks.

One frame is one round of the broker and is on disk when `append` returns. A frame is written only after the
one before it is synced, so only the last can be torn.

A failed write or sync proves nothing about the file: the kernel may have dropped the pages and call the next
sync a success. So that file is never synced again, and `recover` writes everything that is not durable into a
new segment, which names the last believed frame. A segment gets its name only when its header and first
frames are on disk: one that is named and has no sound header was damaged, not torn.

The last frame found at a start has the same doubt on it: its sync may have failed, or never been called, and
what is read now may live only in the kernel's memory. So every start begins a new segment, which believes all
but that frame and holds it again. Power loss is trusted to spare the bytes of a page that were there before
the write.

Room on a full disk. Of 64 MiB taken ahead, a segment has 24 from its beginning, as zeros. When the next
cannot be allocated, 8 kept in reserve (the ends of some eighty thousand tasks) take its place. The rest, and
more as the journal grows, is kept for compaction: as much as a fold of all that can be written until then
would read. `tight` says that a reserve could not be made up again: then the caller takes no new work and no
output, only ends, and compacts, until `provision` says that there is room. A compaction frees what it folded,
and the reserves are made up from that first.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn, Self

from scitq.broker import durable, frames, reserve, segments
from scitq.broker.frames import BEGINNING, HEADER_BYTES, Header, Kind, Mark
from scitq.broker.segments import Frame, Source
from scitq.errors import Unavailable

SEGMENT_BYTES = 24 << 20
RESERVE_BYTES = 8 << 20


class JournalFailed(Unavailable):
    """The disk refused a write or a sync: what was given is not durable, nothing durable is lost."""


class Sealed(NamedTuple):
    """What a compaction could fold now: the segments up to `upto`, `files` of them holding `size` bytes.

    It would read and write anew the snapshot before them, of `base` bytes.
    """

    upto: int
    size: int
    files: int
    base: int


class Journal:
    """The journal of one broker. Its methods block and have one caller at a time, in any thread.

    Read `replay` to its end before anything else: only then the journal is live. `sealed`, `room`, `tight`
    and `notes` only look and may be read from any thread meanwhile.
    """

    def __init__(self, folder: Path, segment_bytes: int, reserve_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        self._chain = segments.read_chain(folder)
        self._base = self._chain.base.header.segment if self._chain.base else 0
        self._last_segment = max(self._base, *segments.listing(folder, Kind.SEGMENT), 0)
        # The present segment: its file, what was allocated of it, where it is left for the next one.
        self._header = Header(Kind.SEGMENT, 0, 0, BEGINNING)
        self._fd = -1
        self._allocated = 0
        self._limit = 0
        self._believed = BEGINNING
        self._failed: str | None = "it was not replayed to its end"
        # The segments before it that no snapshot stands for: number -> bytes.
        self._before: dict[int, int] = {}
        self._sealed = Sealed(0, 0, 0, 0)
        self.tight = False
        self.notes: list[str] = []

    @classmethod
    def open(cls, folder: Path, segment_bytes: int = SEGMENT_BYTES, reserve_bytes: int = RESERVE_BYTES) -> Self:
        """The journal in `folder`, created when there is none; nothing that is there is touched.

        Raises JournalNewer for a journal of a later scitq, JournalDamaged when its files do not belong
        together.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(folder, segment_bytes, reserve_bytes)

    def replay(self) -> Iterator[bytes]:
        """The bodies of all frames in order; then the journal becomes live, and `notes` says what was cut.

        Raises JournalDamaged at the place, JournalFailed when no new segment can be begun.
        """
        last: Frame | None = None
        for source in self._chain.sources:
            last = None
            for last in source.frames():
                yield last.body
            self._believed = _proven(source, last)
        unproven = [last.body] if last and self._believed.number < last.number else []
        try:
            self._tidy()
        except OSError as error:
            self._fail(error)
        self._begin_segment(unproven)

    def append(self, body: bytes) -> None:
        """Write one frame and have it on disk. Raises JournalFailed; after that only `recover` goes on."""
        if self._failed is not None:
            raise JournalFailed(f"the journal in {self._folder} waits for recovery: {self._failed}")
        number, end = self._believed.number + 1, self._believed.end
        data = frames.encode_frame(self._header, number, body)
        if end + len(data) > self._limit and end > HEADER_BYTES:
            self._begin_segment([body])
            return
        try:
            durable.write_all(self._fd, data, end)
            os.fdatasync(self._fd)
        except OSError as error:
            self._fail(error)
        self._believed = Mark(self._header.segment, number, end + len(data))

    def recover(self, bodies: Sequence[bytes]) -> None:
        """Begin a new segment after the last believed frame, holding `bodies`, all that is not durable yet.

        Raises JournalFailed: then nothing of `bodies` counts, and the caller tries again after a pause.
        """
        assert self._fd >= 0, "a journal is replayed before it is written"
        self._begin_segment(bodies)

    @property
    def room(self) -> int:
        """The bytes that frames can still take without asking the disk for more."""
        return max(0, self._allocated - self._believed.end) + reserve.held(self._folder, reserve.SEGMENT)

    def provision(self) -> bool:
        """Make up the reserves; True when they are whole. Ask again from time to time while `tight`."""
        wanted = self._sealed.size + self._sealed.base + max(self._limit, self._believed.end) + self._reserve_bytes
        try:
            whole = reserve.keep(self._folder, reserve.SEGMENT, self._reserve_bytes)
            whole = reserve.keep(self._folder, reserve.SNAPSHOT, wanted) and whole
        except OSError:
            whole = False
        self.tight = not whole
        return whole

    def sealed(self) -> Sealed:
        """What a compaction could fold now; `upto` is 0 when there is nothing."""
        return self._sealed

    def adopt_snapshot(self) -> bool:
        """Take up the snapshot that a fold left, remove what it stands for; False when there is none.

        Trouble with the disk is no failure here: it is said in `notes`, and all that was appended stands.
        """
        try:
            snapshots = segments.listing(self._folder, Kind.SNAPSHOT)
            newest = max(snapshots, default=0)
            if newest <= self._base:
                return False
            segments.read_header(snapshots[newest], Kind.SNAPSHOT)
            self._base = newest
            self._remove_covered()
        except (OSError, segments.JournalDamaged) as problem:
            # As sound as before, only larger: the next snapshot or start removes what is left.
            self.notes.append(f"the compaction of {self._folder} was not taken up in full: {problem}")
        self.provision()
        return True

    def close(self) -> None:
        """Give the unused room back; everything appended is on disk already."""
        if self._fd >= 0:
            self._leave_segment()
            self._fd = -1
        self._failed = "it is closed"

    def _begin_segment(self, bodies: Sequence[bytes]) -> None:
        """Let a new segment that holds `bodies` take the place of the present one.

        A number once tried is not used again: of a segment whose naming could not be synced nobody knows
        whether it will be there after a power loss; the next one names the same believed frame and so passes
        over it.
        """
        self._last_segment += 1
        header = Header(Kind.SEGMENT, self._last_segment, secrets.randbits(32), self._believed)
        try:
            fd, end = durable.write_segment(self._folder, header, bodies, self._segment_bytes)
        except OSError as error:
            self._fail(error)
        if self._fd >= 0:
            self._leave_segment()
        self._header, self._fd, self._failed = header, fd, None
        self._believed = Mark(header.segment, header.believed.number + len(bodies), end)
        self._allocated = os.fstat(fd).st_size
        self._limit = self._allocated if self._allocated > end else self._segment_bytes
        self._weigh()
        self.provision()

    def _leave_segment(self) -> None:
        """Close the present segment and give back what it did not use; a failed one stays as it is."""
        self._before[self._header.segment] = self._believed.end
        with contextlib.suppress(OSError):
            if self._failed is None:
                os.ftruncate(self._fd, self._believed.end)
        os.close(self._fd)

    def _fail(self, error: OSError) -> NoReturn:
        self._failed = str(error)
        raise JournalFailed(f"the journal in {self._folder} cannot be written: {error}") from None

    def _tidy(self) -> None:
        """After a sound replay: names made durable, a crash's leftovers removed, the torn end set aside."""
        durable.sync_folder(self._folder)
        durable.remove_leftovers(self._folder)
        for source in self._chain.segments:
            self._before[source.header.segment] = source.end.end
        self._remove_covered()
        if self._chain.segments:
            self._cut(self._chain.segments[-1])

    def _cut(self, last: Source) -> None:
        """End the last segment with its last sound frame; what follows is first copied aside, and said."""
        start, number = last.end.end, last.end.number + 1
        if last.torn > start:
            aside = self._folder / f"torn-{last.header.segment:08d}-{number}"
            torn = f"frame {number} of {last.path}, at offset {start}, was torn by a crash, nobody was told of it: "
            try:
                durable.copy_aside(last.path, start, last.torn, aside)
            except OSError as error:
                self.notes.append(f"{torn}not believed, left where it is ({error})")
                return
            self.notes.append(f"{torn}cut, its {last.torn - start} bytes are kept in {aside.name}")
        os.truncate(last.path, start)

    def _remove_covered(self) -> None:
        """Remove the segments and older snapshots that the base stands for, once its name is durable."""
        durable.sync_folder(self._folder)
        self._before = {number: size for number, size in self._before.items() if number > self._base}
        self._weigh()
        for kind, limit in ((Kind.SEGMENT, self._base), (Kind.SNAPSHOT, self._base - 1)):
            for number, path in segments.listing(self._folder, kind).items():
                if number <= limit:
                    os.unlink(path)

    def _weigh(self) -> None:
        """What a fold of all that is sealed would read: an upper bound of what it would write."""
        base = segments.file_path(self._folder, Kind.SNAPSHOT, self._base).stat().st_size if self._base else 0
        self._sealed = Sealed(max(self._before, default=0), sum(self._before.values()), len(self._before), base)


def _proven(source: Source, last: Frame | None) -> Mark:
    """Up to where `source`, now read, is on disk for certain; of the last segment all but its last frame."""
    if source.believed is not None:
        return source.believed
    if source.header.kind is Kind.SNAPSHOT:
        return source.header.believed
    if last is None:
        return source.end
    return Mark(source.header.segment, last.number - 1, last.offset)
