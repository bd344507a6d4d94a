"""Is the journal sound, and the way out when it is not. No broker may be running on it while it is repaired.

Repair ends the journal at the last frame before the first damage: what follows belongs to a history with a
gap. Bytes are never deleted: the damaged file and all that come after it are kept in a folder `aside-1`,
`aside-2`, and so on. Every step leaves a journal that repair can be run on again.
"""

import os
import secrets
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from scitq.broker import durable, segments
from scitq.broker.compaction import write_snapshot
from scitq.broker.frames import HEADER_BYTES, Header, Kind, Mark
from scitq.broker.segments import JournalDamaged, Source
from scitq.errors import ScitqError


class Finding(NamedTuple):
    """Something that is not as it was written; `torn` is what a crash leaves: the next start cuts it."""

    torn: bool
    path: Path
    offset: int
    what: str


def check(folder: Path) -> list[Finding]:
    """What is wrong in the journal, in its order; [] when it is sound. Raises JournalNewer."""
    try:
        sources = segments.read_chain(folder).sources
    except JournalDamaged as damage:
        return [_finding(damage)]
    findings = []
    for source in sources:
        try:
            for _ in source.frames():
                pass
        except JournalDamaged as damage:
            findings.append(_finding(damage))
            continue
        if source.torn > source.end.end:
            size, number = source.torn - source.end.end, source.end.number + 1
            what = f"frame {number} was torn by a crash: the next start cuts its {size} bytes and keeps them aside"
            findings.append(Finding(True, source.path, source.end.end, what))
    return findings


def repair(folder: Path) -> list[str]:
    """End the journal before its first damage; returns a line for each thing done, [] when it was sound.

    Raises JournalNewer, and ScitqError when nothing before the damage can be believed: then a backup helps.
    """
    done: list[str] = []
    aside: Path | None = None
    while (damage := _first_damage(folder)) is not None:
        _refuse_hopeless(folder, damage)
        aside = aside or _make_aside(folder)
        if damage.path.suffix == ".snapshot":
            done += _cut_snapshot(folder, damage, aside)
        elif damage.number is None:
            done += _leave_out(folder, damage, aside)
        else:
            done += _cut_segment(folder, damage, damage.number, aside)
    return done


def _finding(damage: JournalDamaged) -> Finding:
    frame = "" if damage.number is None else f"frame {damage.number}: "
    return Finding(False, damage.path, damage.offset, frame + damage.what)


def _first_damage(folder: Path) -> JournalDamaged | None:
    try:
        for _ in segments.read_chain(folder).frames():
            pass
    except JournalDamaged as damage:
        return damage
    return None


def _cut_segment(folder: Path, damage: JournalDamaged, number: int, aside: Path) -> list[str]:
    """A new, empty segment says that the damaged one is believed up to the damage only."""
    segment = int(damage.path.stem)
    believed = Mark(segment, number - 1, damage.offset)
    last = max(segments.listing(folder, Kind.SEGMENT))
    os.link(damage.path, aside / damage.path.name)
    moved = _move_from(folder, segment + 1, aside)
    header = Header(Kind.SEGMENT, last + 1, secrets.randbits(32), believed)
    fd, _ = durable.write_segment(folder, header, [], HEADER_BYTES)
    os.close(fd)
    line = f"{damage.path} ends before frame {number} now, at offset {damage.offset}; kept whole in {aside.name}"
    return [line, *moved]


def _leave_out(folder: Path, damage: JournalDamaged, aside: Path) -> list[str]:
    """Without its header a segment says nothing: the journal ends with the file before it."""
    segment = int(damage.path.stem)
    return _move_from(folder, segment, aside)


def _cut_snapshot(folder: Path, damage: JournalDamaged, aside: Path) -> list[str]:
    """What comes before the damage becomes the snapshot; what followed it would build on what is lost."""
    assert damage.number is not None
    header = segments.read_header(damage.path, Kind.SNAPSHOT)
    moved = _move_from(folder, 1, aside)
    os.link(damage.path, aside / damage.path.name)
    before = islice(Source(damage.path, header).frames(), damage.number - 1)
    write_snapshot(folder, header, (frame.body for frame in before))
    line = f"{damage.path} ends before frame {damage.number} now; kept whole in {aside.name}"
    return [line, *moved]


def _move_from(folder: Path, first: int, aside: Path) -> list[str]:
    """Set aside the segments from `first` on, the last one first: what stays is always a beginning."""
    moved = []
    for number, path in reversed(segments.listing(folder, Kind.SEGMENT).items()):
        if number >= first:
            os.rename(path, aside / path.name)
            moved.append(f"{path} is no longer part of the journal; kept in {aside.name}")
    durable.sync_folder(aside)
    durable.sync_folder(folder)
    return moved[::-1]


def _make_aside(folder: Path) -> Path:
    number = 1
    while (aside := folder / f"aside-{number}").exists():
        number += 1
    aside.mkdir(mode=0o700)
    return aside


def _refuse_hopeless(folder: Path, damage: JournalDamaged) -> None:
    """Without the header of the snapshot, or of the first segment, nothing can be read."""
    if damage.path.suffix == ".snapshot":
        hopeless = damage.number is None
    else:
        first = min(segments.listing(folder, Kind.SEGMENT), default=0)
        hopeless = damage.number is None and first >= int(damage.path.stem)
        hopeless = hopeless and not segments.listing(folder, Kind.SNAPSHOT)
    if hopeless:
        raise ScitqError(
            f"{damage.path} is damaged at offset {damage.offset} ({damage.what}) and nothing before it can be "
            "believed: restore a backup"
        )
