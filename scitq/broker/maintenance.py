"""What an operator does with a state folder: check, repair, read, back up, restore.

Check, read and back up only look, a broker may be running meanwhile. Repair and restore may forget what had been
acknowledged, so they raise the epoch: results of attempts that the state does not know are then told apart.
"""

import json
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from scitq.broker import backup as copies
from scitq.broker import events, repair, segments
from scitq.broker.apply import apply
from scitq.broker.check import check as check_state
from scitq.broker.events import Entry
from scitq.broker.journal import Journal
from scitq.broker.main import check_folder, replay, state_lock
from scitq.broker.state import State
from scitq.errors import Conflict, ScitqError, UsageError

JOURNAL, LOGS, ACCESS = "journal", "logs", "access"


class Report(NamedTuple):
    """Lines for people, and whether all is sound."""

    sound: bool
    lines: list[str]


def check(folder: Path) -> Report:
    """Read the whole state, and say what is wrong in it and what was set aside."""
    _is_state(folder)
    findings = repair.check(folder / JOURNAL)
    lines = [f"{finding.path}, offset {finding.offset}: {finding.what}" for finding in findings]
    if any(not finding.torn for finding in findings):
        lines.append(f"`scitq broker repair --state {folder}` ends the journal before the damage, nothing is deleted")
        return Report(False, lines)
    state = State()
    for body in _bodies(folder):
        for entry in events.decode(body):
            apply(state, entry)
    broken = check_state(state)
    lines += broken
    lines += [_set_aside(aside) for aside in state.set_aside]
    number = state.tasks.next - 1 - len(state.tasks.deleted)
    lines.append(
        f"mesh {state.mesh}, epoch {state.epoch}: {number} tasks, {len(state.batches)} batches,"
        f" {len(state.workers)} workers"
    )
    return Report(not broken, lines)


def _set_aside(aside: events.SetAside) -> str:
    result = aside.result
    how = events.RESULTS[result.status] + (f", exit code {result.exit_code}" if result.exit_code is not None else "")
    return (
        f"set aside: task {aside.task}, attempt {result.attempt} of epoch {result.epoch}: {how};"
        " the state did not know this attempt any more"
    )


def mend(folder: Path) -> list[str]:
    """End the journal before its first damage and raise the epoch; a line for each thing done."""
    _is_state(folder)
    with state_lock(folder):
        done = repair.repair(folder / JOURNAL)
        if done:
            done.append(f"the epoch is {_raise_epoch(folder)} from now on")
    return done


def lines(folder: Path) -> Iterator[str]:
    """The journal as JSON lines, an entry each: where it lies, when, what caused it, its facts."""
    _is_state(folder)
    try:
        for source in segments.read_chain(folder / JOURNAL).sources:
            for frame in source.frames():
                for entry in events.decode(frame.body):
                    yield _line(frame, entry)
    except FileNotFoundError:
        raise ScitqError("a compaction took the files away meanwhile: run it again") from None


def _line(frame: segments.Frame, entry: Entry) -> str:
    facts = [_plain(event) for event in entry.events]
    place = {"file": frame.segment, "frame": frame.number, "at": entry.at, "cause": entry.cause}
    return json.dumps({**place, "events": facts}, default=_text)


def _plain(event: events.Fact) -> dict[str, object]:
    fields = {name: _value(getattr(event, name)) for name in event.__struct_fields__}
    return {"event": type(event).__name__, **fields}


def _value(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        held = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: _value(field) for name, field in held if field is not msgspec.UNSET}
    if isinstance(value, msgspec.Raw):
        return msgspec.msgpack.decode(value)
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    return value


def _text(value: object) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def backup(folder: Path, file: Path) -> None:
    """Write a consistent copy of the state to a new tar file of mode 0600, while a broker may be running."""
    _is_state(folder)
    if file.exists():
        raise Conflict(f"{file} exists already: a backup is never written over another")
    with tempfile.TemporaryDirectory(prefix=".scitq-backup-", dir=file.absolute().parent) as name:
        copy = Path(name)
        copies.backup(folder / JOURNAL, copy / JOURNAL)
        copies.backup_logs(folder / LOGS, copy / LOGS)
        shutil.copytree(folder / ACCESS, copy / ACCESS)
        packed = copy / "state.tar"
        fd = os.open(packed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w") as tar:
                for part in (JOURNAL, LOGS, ACCESS):
                    tar.add(copy / part, arcname=part)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(packed, file)


def restore(file: Path, folder: Path) -> int:
    """Lay a backup into an empty state folder; the epoch from now on."""
    if not file.is_file() or not tarfile.is_tarfile(file):
        raise UsageError(f"{file} is no backup of a state: `scitq broker backup FILE` makes one")
    check_folder(folder)
    if (folder / JOURNAL).exists():
        raise Conflict(f"{folder} holds a state already: restore into an empty folder")
    with state_lock(folder):
        try:
            with tarfile.open(file) as tar:
                tar.extractall(folder, filter="data")
        except (OSError, tarfile.TarError) as problem:
            raise UsageError(f"{file} cannot be restored: {problem}") from None
        return _raise_epoch(folder)


def _raise_epoch(folder: Path) -> int:
    state = State()
    journal = Journal.open(folder / JOURNAL)
    replay(journal, state)
    entry = Entry(time.time(), "repair or restore", (events.EpochRaised(state.epoch + 1),))
    journal.append(events.encode([entry]))
    journal.close()
    return state.epoch + 1


def _bodies(folder: Path) -> Iterator[bytes]:
    for source in segments.read_chain(folder / JOURNAL).sources:
        for frame in source.frames():
            yield frame.body


def _is_state(folder: Path) -> None:
    if not (folder / JOURNAL).is_dir():
        raise ScitqError(f"{folder} holds no state: name it with --state DIR")
