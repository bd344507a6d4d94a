"""The output of tasks, as bytes, on our own stdout and stderr."""

import sys
from typing import TYPE_CHECKING

from scitq.shell.render import one_line, size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scitq.wire import OutputPart

_LIMITED = "a larger --log-limit would keep more"


def copy(parts: "Iterable[OutputPart]", *, together: bool = False) -> None:
    """Write each part to the stream of its name, or with `together` all to stdout, at once and as it is."""
    sys.stdout.flush()
    for part in parts:
        stream = sys.stdout if together or part.stream == "stdout" else sys.stderr
        if part.gap:
            _note(f"{size(part.gap)} of {part.stream} were not kept here: {part.note or _LIMITED}")
        elif part.note:
            _note(f"{part.stream}: {part.note}")
        stream.buffer.write(part.data)
        stream.buffer.flush()


def _note(line: str) -> None:
    print(f"scitq: {one_line(line)}", file=sys.stderr, flush=True)
