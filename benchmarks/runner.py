"""A run of parts: which, how much, a line for each row as it comes, the page, and how it ended."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import pytest

from benchmarks import machine, report
from benchmarks.figures import Row


class _Size(Protocol):
    @property
    def runs(self) -> int: ...


S = TypeVar("S", bound=_Size)


class Forms(NamedTuple):
    """The words that run it, the page it writes, and what that page begins with."""

    command: str
    page: str
    head: str


def run(forms: Forms, about: str | None, parts: Mapping[str, Callable[[S], Iterator[Row]]], short: S, full: S) -> int:
    """Run all parts, or those asked for; 1 when a figure is worse than it must be, in the full form."""
    parser = argparse.ArgumentParser(prog=forms.command, description=about)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--short", action="store_true", help="small sizes (default)")
    form.add_argument("--full", action="store_true", help="the sizes the figures are promised for")
    parser.add_argument("--out", type=Path, help=f"write the page here, such as {forms.page}")
    parser.add_argument("--only", action="append", choices=parts, help="this part; may be repeated")
    given = parser.parse_args()
    size = full if given.full else short
    here = machine.lines()
    rows: list[Row] = []
    for name in given.only or parts:
        try:
            for row in parts[name](size):
                rows.append(row)
                print(report.line(row), flush=True)
        except pytest.skip.Exception as missing:  # by a server that the tests have too
            print(f"the rest of {name} is left out: {missing}", flush=True)
    command = f"{forms.command} {'--full' if given.full else '--short'}"
    if given.out:
        head = forms.head.format(command=command, runs=size.runs)
        given.out.write_text(report.page(head, here, rows), encoding="utf-8")
    return int(given.full and any(row.verdict == "missed" for row in rows))
