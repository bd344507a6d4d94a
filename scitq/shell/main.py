"""Where every command begins, and where everything that goes wrong becomes one line and an exit code."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from scitq.errors import ScitqError

_INTERRUPTED = 128 + signal.SIGINT
_PIPE_CLOSED = 128 + signal.SIGPIPE


def main() -> int:
    """`scitq …`."""
    return run(sys.argv[1:])


def launch() -> int:
    """`scitq-launch …`."""
    return run(["launch", *sys.argv[1:]])


def manage() -> int:
    """`scitq-manage …`."""
    return run(["manage", *sys.argv[1:]])


def fetch() -> int:
    """`scitq-fetch …`."""
    return run(["fetch", *sys.argv[1:]])


def worker() -> int:
    """`scitq-worker [SERVER [CONCURRENCY]]`."""
    return run(["node", *sys.argv[1:]])


def run(words: Sequence[str]) -> int:
    """Do what these words say; returns the exit code, and raises nothing."""
    _prepare_streams()
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read us has enough
        code = _PIPE_CLOSED
    except KeyboardInterrupt:
        code = _told("interrupted", _INTERRUPTED)
    except ScitqError as problem:
        code = _told(str(problem), problem.exit_code)
    except OSError as problem:
        code = _told(_of_system(problem), 1)
    except Exception as problem:  # noqa: BLE001 - a defect of ours is told in one line too
        code = _told(_of_defect(problem), 1)
    _settle()
    return code


def _prepare_streams() -> None:
    """A closed stream swallows what it is given; what a locale cannot print is escaped, never a reason to fail."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open to the end
        getattr(sys, name).reconfigure(errors="backslashreplace")


def _settle() -> None:
    """Leave nothing that the interpreter's last flush could fail on, and tell with a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: Sequence[str]) -> int:
    from scitq.shell.arguments import read
    from scitq.shell.root import ROOT

    try:
        command, given = read(ROOT, words or ["--help"])
    except SystemExit:  # help or version was asked for, and is printed
        return 0
    return command.run(given)


def _told(message: str, code: int) -> int:
    from scitq.shell.render import one_line

    with suppress(OSError):  # nobody is left to be told
        print(f"scitq: {one_line(message)}", file=sys.stderr, flush=True)
    return code


def _of_system(problem: OSError) -> str:
    what = problem.strerror or str(problem) or type(problem).__name__
    return f"{problem.filename}: {what}" if problem.filename else what


def _of_defect(problem: Exception) -> str:
    place = problem.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
    return f"a defect of scitq, please report it: {type(problem).__name__}: {problem} ({where})"
