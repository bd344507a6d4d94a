"""Plays every transcript beside this file; `pytest --rewrite-scenarios` writes down what is said now, to be read."""

from pathlib import Path

import pytest

from tests.scenarios.conversation import Conversation

SILENCE = "nothing else was said"
FILES = sorted(Path(__file__).parent.glob("*.txt"))


def played(text: str) -> str:
    """The transcript with the answers that are given now."""
    lines: list[str] = []
    conversation: Conversation | None = None
    for line in text.splitlines():
        if line.startswith(("-> ", "= ")) or line == SILENCE:
            continue
        if line.startswith("## "):
            conversation = Conversation()
        lines.append(line)
        if not line and conversation is not None:
            lines[-1:] = [SILENCE, ""]
            conversation = None
        elif line and not line.startswith("#"):
            assert conversation is not None, f"no title before: {line}"
            lines += conversation.play(line)
    if conversation is not None:
        lines.append(SILENCE)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path, request: pytest.FixtureRequest) -> None:
    written = path.read_text()
    now = played(written)
    if request.config.getoption("--rewrite-scenarios"):
        path.write_text(now)
        written = now
    assert now.splitlines() == written.splitlines()


def test_there_are_scenarios() -> None:
    assert FILES
