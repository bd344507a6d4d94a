"""Every figure of fetch beside the peers in one run: `python -m benchmarks.fetch [--short|--full] [--out FILE]`.

The full form takes about half an hour. Peers that cannot be installed are skipped with their reason.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import machine, report
from benchmarks.fetch import blobs, stores, web
from benchmarks.fetch.size import FULL, SHORT

if TYPE_CHECKING:
    from benchmarks.figures import Row

PARTS = {"s3": stores, "azure": blobs, "web": web}
HEAD = """# How fast data moves, beside the peers

Written by `{command}`, never by hand. All in one run on one machine; whole processes, their start included, in turn
(A B A B), {runs} runs: a ratio is the median of those of each run. What arrived is compared with what was sent, every
time. Stores and servers run on the same machine and take their share of its processors from everybody. Ratios hold
while the machine's speed drifts, absolute figures do not."""


def main() -> int:
    """Run all; 1 when a figure is worse than it must be, in the full form."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fetch", description=__doc__)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--short", action="store_true", help="small sizes (default)")
    form.add_argument("--full", action="store_true", help="the sizes the figures are promised for")
    parser.add_argument("--out", type=Path, help="write the page here, such as docs/performance-of-fetch.md")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be repeated")
    given = parser.parse_args()
    size = FULL if given.full else SHORT
    about = machine.lines()
    rows: list[Row] = []
    for name in given.only or PARTS:
        for row in PARTS[name].rows(size):
            rows.append(row)
            figures = " / ".join(report.number(figure.value, figure.unit) for figure in row.figures)
            print(f"{row.verdict:8} {row.title}: {figures}\n         {row.note}", flush=True)
    command = "python -m benchmarks.fetch" + (" --full" if given.full else " --short")
    if given.out:
        given.out.write_text(report.page(rows, about, size.runs, command, HEAD), encoding="utf-8")
    return int(given.full and any(row.verdict == "missed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
