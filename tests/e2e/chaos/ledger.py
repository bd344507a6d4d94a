"""What clients asked for and what they were told, kept outside scitq: lines in a file that outlive them."""

import os
from pathlib import Path

SECONDS = (0.02, 0.1, 0.02, 0.3, 0.02, 1.0)  # how long the tasks of a request take, in turn


def command(folder: Path, number: int) -> tuple[str, ...]:
    """A task that leaves its name as side effect and as output; some leave a process behind."""
    stray = "setsid sleep 600 > /dev/null 2>&1 & " if number % 8 == 3 else ""
    name = f'echo "$SCITQ_ATTEMPT" >> {folder}/witness; echo "$SCITQ_ATTEMPT"'
    return ("sh", "-c", f"{stray}{name}; sleep {SECONDS[number % len(SECONDS)]}")


class Ledger:
    """`open` is the request that was asked for and not acknowledged, with its count; `told` the ids of the others."""

    def __init__(self, path: Path) -> None:
        self.open: tuple[str, int] | None = None
        self.told: dict[str, range] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            what, request, *numbers = line.split()
            if what == "asked":
                self.open = (request, int(numbers[0]))
            else:
                self._note(request, range(int(numbers[0]), int(numbers[1])))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def ask(self, request: str, count: int) -> None:
        self._write(f"asked {request} {count}")
        self.open = (request, count)

    def acknowledge(self, request: str, ids: range) -> None:
        self._write(f"told {request} {ids.start} {ids.stop}")
        self._note(request, ids)

    def _note(self, request: str, ids: range) -> None:
        assert self.open is not None
        assert self.open == (request, len(ids)), f"{self.open} was asked, {request} {ids} answered"
        self.open = None
        self.told[request] = ids

    def _write(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())
