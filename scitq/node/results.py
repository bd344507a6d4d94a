"""What is done after a command, in a thread: store what it left in its output folder."""

import os
import threading
import time
from collections.abc import Sequence

from scitq.fetch import FetchError, Stopped, Unstored, Uri, put
from scitq.fetch.storage import storage_of
from scitq.node.folders import PARTS
from scitq.node.job import Uploaded
from scitq.node.progress import Progress

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0, 60.0)
TOLD_BYTES = 256 * 1024  # of names in the record of an attempt; the rest is told as a number


def upload(
    name: str,
    folder: str,
    address: str,
    stop: threading.Event,
    progress: Progress,
    within: Sequence[str] | None = None,
) -> Uploaded:
    """Store an attempt's output folder; tried again with growing pauses. `within`: links may lead there only."""
    begin = time.monotonic()
    problem, size = "", _size(folder)
    for pause in (*PAUSES, None):
        with progress.begin(name, f"results to {address}", size) as item:
            try:
                stored = put(folder, address, stop=stop, within=within, progress=item.add)
                return Uploaded(time.monotonic() - begin, stored.bytes, told(stored.files))
            except Unstored as error:
                taken = time.monotonic() - begin
                return Uploaded(taken, error.stored.bytes, told(error.stored.files), error.reason)
            except FetchError as error:
                problem = error.reason
                if pause is None or not error.retry or isinstance(error, Stopped):
                    break
                item.say(f"tried again in {pause:g} s: {problem}")
                if stop.wait(pause):
                    break
    return Uploaded(time.monotonic() - begin, problem=problem)


def _size(folder: str) -> int:
    """Bytes that there are to store, as far as they can be read."""
    try:
        entries = storage_of(Uri("file", folder)).walk(folder)
        return sum(entry.size for entry in entries if not entry.trouble)
    except (FetchError, OSError):  # whoever stores it tells
        return -1


def told(files: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Names and sizes for the record of an attempt; past a limit the last one stands for all that follow."""
    listed: list[tuple[str, int]] = []
    room = TOLD_BYTES
    for number, (name, size) in enumerate(files):
        shown = name.encode("utf-8", "backslashreplace").decode()
        room -= len(shown.encode()) + 16
        if room < 0:
            rest = files[number:]
            listed.append((f"… and {len(rest)} more", sum(size for _, size in rest)))
            break
        listed.append((shown, size))
    return tuple(listed)


def lead_here(task: str, data: str) -> None:
    """Let links in the output of a container, which name paths as seen inside, lead to the same files outside."""
    top = f"{task}/output"
    seen = {f"/{part}": f"{task}/{part}" for part in PARTS} | ({"/data": data} if data else {})
    for here, folders, files in os.walk(top):
        for name in folders + files:
            path = f"{here}/{name}"
            if not os.path.islink(path):
                continue
            target = os.readlink(path)
            for inside, outside in seen.items():
                if target == inside or target.startswith(f"{inside}/"):
                    os.unlink(path)
                    os.symlink(outside + target[len(inside) :], path)
