"""What is printed: tables for people, JSON for programs, words that can be pasted back into a shell."""

import os
import sys
import time
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

Cell = str | int | float | bool | None


def one_line(text: str) -> str:
    """The text on one line: control characters, direction marks and undecodable bytes escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def decoded(word: str | bytes) -> str:
    """A word as text; bytes that are not UTF-8 become lone surrogates, as in `sys.argv`."""
    return word.decode("utf-8", "surrogateescape") if isinstance(word, bytes) else word


def quoted(word: str | bytes) -> str:
    """One word as a shell would need it, always on one printable line."""
    from shlex import quote

    text = decoded(word)
    if text.isprintable():
        return quote(text)
    inner = (c if c.isprintable() and c not in "'\\" else _escape(c) for c in text)
    return f"$'{''.join(inner)}'"


def command_line(words: Iterable[str | bytes]) -> str:
    """A command, each word quoted where a shell would need it."""
    return " ".join(map(quoted, words))


@lru_cache  # of a thousand files many came in the same second
def moment(at: float | None) -> str:
    """A time as people read it, in the zone of this machine."""
    return "" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def size(count: int) -> str:
    """A number of bytes as people read it."""
    value, unit = float(count), 0
    while value >= 1024 and unit < 4:
        value, unit = value / 1024, unit + 1
    return f"{count} B" if not unit else f"{value:.1f} {' KMGT'[unit]}iB"


def duration(seconds: float) -> str:
    """A duration as people read it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min {rest:02} s" if hours else f"{minutes} min {rest:02} s"


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, header: bool = True, rare: Collection[str] = ()
) -> None:
    """A plain table: as wide as it needs in a pipe, as wide as the terminal on one.

    A `rare` column is there only when a row has something in it.
    """
    texts = [[_shown(cell) for cell in row] for row in rows]
    kept = [n for n, name in enumerate(columns) if name not in rare or any(row[n] for row in texts)]
    if len(kept) < len(columns):
        columns, texts = [columns[n] for n in kept], [[row[n] for n in kept] for row in texts]
    if sys.stdout.isatty():
        texts = _fitted(columns, texts, os.get_terminal_size(sys.stdout.fileno()).columns)
    text = table(columns, texts, header=header)
    if text:
        print(text)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, header: bool = True) -> str:
    """The table of these texts; numbers that fill a column stand right, texts left."""
    import tabulate

    tabulate.MIN_PADDING = 0  # a header is no wider than itself
    numbers = [all(row[n].isdecimal() or not row[n] for row in rows) for n in range(len(columns))]
    return tabulate.tabulate(
        rows,
        headers=columns if header else (),
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if number else "left" for number in numbers] if rows else None,
    )


def print_json(values: Iterable[Any]) -> None:
    """One JSON array with an object for each value of the model, written as they come."""
    import json

    plain(None)  # loads a compiled module before the values are made: an interrupt amid that crashes Python
    begin = "["
    for value in values:
        print(begin, json.dumps(plain(value)), sep="\n", end="")
        begin = ","
    print("[]" if begin == "[" else "\n]")


def plain(value: Any) -> Any:
    """The value as JSON can hold it: field names of the model, words that are not UTF-8 by surrogateescape."""
    import msgspec

    return _texts(msgspec.to_builtins(value, builtin_types=(bytes,)))


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _texts(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(item) for item in value]
    return decoded(value) if isinstance(value, bytes) else value


def _escape(character: str) -> str:
    """As in C, and in a shell's $'…'."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # one undecodable byte
        return f"\\x{code - 0xDC00:02x}"
    if character in "'\\":
        return f"\\{character}"
    if 0x80 <= code < 0x100:  # there \x80 to \xff would be bytes, not characters
        return f"\\u{code:04x}"
    return character.encode("unicode_escape").decode()


def _shown(cell: Cell) -> str:
    if cell is None or cell is False:
        return ""
    return "X" if cell is True else one_line(str(cell))


def _fitted(columns: Sequence[str], rows: list[list[str]], width: int) -> list[list[str]]:
    """The rows with their widest columns cut, an ellipsis at each cut, until the table is `width` wide."""
    widths = [max(len(name), *(len(row[n]) for row in rows), 0) for n, name in enumerate(columns)]
    least = [max(len(name), 8) for name in columns]
    room = width - 2 * (len(columns) - 1)
    while sum(widths) > room:
        widest = max(range(len(widths)), key=lambda n: (widths[n] > least[n], widths[n]))
        if widths[widest] <= least[widest]:
            break
        widths[widest] -= 1
    return [[_cut(text, widths[n]) for n, text in enumerate(row)] for row in rows]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
