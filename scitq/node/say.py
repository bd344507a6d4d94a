"""The lines that a worker tells whoever started it, on stderr; under systemd they are its log."""

import sys


def say(line: str) -> None:
    """One line for a person."""
    print(f"scitq node: {line}", file=sys.stderr, flush=True)
