"""Which files of the journal count, and up to where: reading only, nothing here writes.

`00000001.journal` is a segment, `00000001.snapshot` stands for every segment up to that number. The last
segment names in its header the last believed frame before it, in whichever segment that lies, and so on
backwards to the snapshot or to the beginning: this chain is the journal. A segment that the chain passes over
was begun and never believed; what lies past the believed end of a segment is neither damage nor replayed.
Only the last segment ends where its frames end.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from scitq.broker import frames
from scitq.broker.frames import BEGINNING, FRAME_BYTES, HEADER_BYTES, Header, Kind, Mark
from scitq.errors import ScitqError

_SUFFIX = {Kind.SEGMENT: ".journal", Kind.SNAPSHOT: ".snapshot"}
_READ_AHEAD = 1 << 18
_SURVEY = 1 << 22


class JournalDamaged(ScitqError):
    """A file of the journal holds other bytes than were written, at a place no crash can explain."""

    def __init__(self, path: Path, offset: int, number: int | None, what: str) -> None:
        self.path, self.offset, self.number, self.what = path, offset, number, what
        frame = "" if number is None else f", frame {number}"
        super().__init__(
            f"{path} is damaged at offset {offset}{frame}: {what}; look with `scitq broker check`, "
            "go on without what lies behind with `scitq broker repair`"
        )


class JournalNewer(ScitqError):
    """The journal was written by a later scitq; nothing of it was touched."""

    def __init__(self, path: Path, version: int) -> None:
        super().__init__(
            f"{path} has journal format {version}, this scitq knows up to {frames.VERSION}: "
            "start it with the newer scitq that wrote it"
        )


class Frame(NamedTuple):
    """One frame as it lies on disk: the file's name, the frame's number, its offset, its body."""

    segment: str
    number: int
    offset: int
    body: bytes


def file_path(folder: Path, kind: Kind, number: int) -> Path:
    """Where the segment or snapshot of this number lies."""
    return folder / f"{number:08d}{_SUFFIX[kind]}"


def listing(folder: Path, kind: Kind) -> dict[int, Path]:
    """The files of one kind in `folder`, by number, rising."""
    found = {}
    for name in os.listdir(folder):
        stem, dot, suffix = name.partition(".")
        if dot + suffix == _SUFFIX[kind] and len(stem) == 8 and stem.isdecimal():
            found[int(stem)] = folder / name
    return dict(sorted(found.items()))


def read_header(path: Path, kind: Kind) -> Header:
    """The header of one file. Raises JournalDamaged, JournalNewer."""
    with path.open("rb") as file:
        data = file.read(4096)
    try:
        return frames.decode_header(data, kind)
    except frames.NewerFormatError as newer:
        raise JournalNewer(path, newer.args[0]) from None
    except frames.UnreadableHeaderError:
        raise JournalDamaged(path, 0, None, "its header cannot be read") from None


@dataclass(slots=True)
class Source:
    """One file of the chain. `believed` is where it ends, None for the last segment, which ends where it
    ends.

    Reading it to the end sets `end`, the last sound frame, and `torn`, the offset just past what follows it.
    A broker may be appending to the last segment meanwhile.
    """

    path: Path
    header: Header
    believed: Mark | None = None
    end: Mark = BEGINNING
    torn: int = 0

    def frames(self) -> Iterator[Frame]:
        """The believed frames, in order. Raises JournalDamaged where they end too early."""
        self.end = Mark(self.header.segment, self.header.first - 1, HEADER_BYTES)
        yield from self._sound_frames()
        if self.header.kind is Kind.SNAPSHOT:
            self._expect_closing()
        elif self.believed is None:
            while self._frames_lie_behind():
                end = self.end
                # Unless they were appended since: what comes before them is whole by now.
                yield from self._sound_frames()
                if self.end == end:
                    raise self._damaged("it is not whole, and frames lie behind it")
        elif self.end != self.believed:
            raise self._damaged("it was believed and is not whole")

    @property
    def size(self) -> int:
        """The bytes of the file that count, once it was read to its end."""
        return self.end.end + (FRAME_BYTES if self.header.kind is Kind.SNAPSHOT else 0)

    def _sound_frames(self) -> Iterator[Frame]:
        """From `end` on, and moving it, until a frame is not the next one, whole."""
        with self.path.open("rb", buffering=_READ_AHEAD) as file:
            file.seek(self.end.end)
            while self.believed is None or self.end.number < self.believed.number:
                number, offset = self.end.number + 1, self.end.end
                head = frames.decode_frame_head(file.read(FRAME_BYTES), self.header)
                if head is None or head.number != number or head.closing:
                    break
                body = file.read(head.length)
                if not frames.body_is_whole(head, body):
                    break
                self.end = Mark(self.header.segment, number, offset + FRAME_BYTES + head.length)
                yield Frame(self.path.name, number, offset, body)

    def _expect_closing(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self.end.end)
            head = frames.decode_frame_head(file.read(FRAME_BYTES), self.header)
        if head is None or not head.closing or head.number != self.end.number + 1:
            raise self._damaged("the snapshot is not whole")

    def _frames_lie_behind(self) -> bool:
        """Whether a later frame lies behind `end`. If not, zeros are room kept and anything else a torn frame."""
        self.torn = self.end.end
        with self.path.open("rb") as file:
            for offset, data in _data_after(file.fileno(), self.end.end):
                if frames.find_frame_after(data, self.header, self.end.number + 1) is not None:
                    return True
                used = len(data.rstrip(b"\0"))
                if used:
                    self.torn = offset + used
        return False

    def _damaged(self, what: str) -> JournalDamaged:
        return JournalDamaged(self.path, self.end.end, self.end.number + 1, what)


def data_ranges(fd: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """The ranges (from, to) of a file that are not holes, from `start` on."""
    end = start
    while True:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole up to the end
            return
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end


def _data_after(fd: int, start: int) -> Iterator[tuple[int, bytes]]:
    """What is not a hole from `start` on, in pieces (offset, bytes) that overlap by a frame header less one byte."""
    for begin, end in data_ranges(fd, start):
        for offset in range(begin, end, _SURVEY):
            yield offset, os.pread(fd, min(_SURVEY + FRAME_BYTES - 1, end - offset), offset)


@dataclass(frozen=True, slots=True)
class Chain:
    """The files that are the journal, in the order of replay."""

    base: Source | None
    segments: tuple[Source, ...]

    @property
    def sources(self) -> tuple[Source, ...]:
        """The snapshot, if there is one, and then the segments."""
        return self.segments if self.base is None else (self.base, *self.segments)

    def frames(self) -> Iterator[Frame]:
        """Every frame, in order. Raises JournalDamaged."""
        return chain.from_iterable(source.frames() for source in self.sources)


def read_chain(folder: Path) -> Chain:
    """The chain of `folder`, told by the headers alone. Raises JournalDamaged, JournalNewer."""
    snapshots, segments = listing(folder, Kind.SNAPSHOT), listing(folder, Kind.SEGMENT)
    _refuse_newer(snapshots, Kind.SNAPSHOT)
    _refuse_newer(segments, Kind.SEGMENT)
    base = None
    if snapshots:
        path = list(snapshots.values())[-1]
        base = Source(path, read_header(path, Kind.SNAPSHOT))
    start = base.header.believed if base else BEGINNING
    covered = base.header.segment if base else 0
    found: list[Source] = []
    believed: Mark | None = None
    number = max(segments, default=0)
    while number > covered:
        path = file_path(folder, Kind.SEGMENT, number)
        if number not in segments:
            raise JournalDamaged(path, 0, None, "it is missing")
        header = read_header(path, Kind.SEGMENT)
        if header.segment != number or header.believed.segment >= number:
            raise JournalDamaged(path, 0, None, f"its header is that of segment {header.segment}")
        found.append(Source(path, header, believed))
        believed = header.believed
        number = believed.segment
    if found and believed != start:
        raise JournalDamaged(found[-1].path, 0, None, "it does not follow on what comes before it")
    return Chain(base, tuple(reversed(found)))


def _refuse_newer(files: dict[int, Path], kind: Kind) -> None:
    """A newer file stops the reader even where the chain would not come by it."""
    for path in files.values():
        try:
            read_header(path, kind)
        except JournalDamaged:
            continue
