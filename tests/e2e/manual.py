"""The pages of the manual as programs: what a reader types, in order, and what must then be printed.

A block marked `console` holds commands after `$ `, gone on with after `> `, each with what it prints. A block marked
`python` prints what the `text` block right after it says, or nothing. `…` stands for anything in a line, and alone
in a line for any lines. A block whose first line is `# not run: REASON` is passed over.
"""

import re
from typing import Literal, NamedTuple

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_NOT_RUN = "# not run: "
_SHOWN_ONLY = frozenset(("text", "toml"))

Language = Literal["console", "python"]


class Step(NamedTuple):
    """One command, or one block of Python; `line` is where in the page it begins."""

    line: int
    language: Language
    text: str
    expected: str


class Page(NamedTuple):
    """What is run of a page, and why the rest is not."""

    steps: list[Step]
    not_run: list[str]


def read(markdown: str) -> Page:
    """Take a page apart; ValueError, with the line, when a block could be neither run nor only looked at."""
    page = Page([], [])
    after = -1  # where a Python block has just ended
    for block in _FENCE.finditer(markdown):
        language, text = block[1], block[2]
        line = markdown.count("\n", 0, block.start()) + 2
        if text.startswith(_NOT_RUN):
            page.not_run.append(text.partition("\n")[0].removeprefix(_NOT_RUN))
        elif language == "console":
            page.steps.extend(_commands(text, line))
        elif language == "python":
            page.steps.append(Step(line, "python", text, ""))
            after = block.end()
        elif language not in _SHOWN_ONLY:
            raise ValueError(f"line {line}: a block marked {language!r}: mark it console, python, text or toml")
        elif language == "text" and after >= 0 and not markdown[after : block.start()].strip():
            page.steps[-1] = page.steps[-1]._replace(expected=text)
    return page


def _commands(text: str, first: int) -> list[Step]:
    steps: list[Step] = []
    for line, shown in enumerate(text.splitlines(), first):
        if shown.startswith("$ "):
            steps.append(Step(line, "console", shown[2:], ""))
        elif not steps:
            raise ValueError(f"line {line}: a console block begins with a command: $ …")
        elif shown.startswith("> ") and not steps[-1].expected:
            steps[-1] = steps[-1]._replace(text=f"{steps[-1].text}\n{shown[2:]}")
        else:
            steps[-1] = steps[-1]._replace(expected=f"{steps[-1].expected}{shown}\n")
    return steps


def is_as_expected(printed: str, expected: str) -> bool:
    """Whether what was printed is what the page shows; the width of columns does not count."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "…" else ".*?".join(map(re.escape, line.split("…"))) + r"\n"
        for line in _lines(expected)
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(printed))) is not None


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.strip().splitlines()]
