"""Every figure beside the peers in one run: `python -m benchmarks [--short|--full] [--out FILE] [--only PART]…`.

The full form is what the figures are promised for and takes about an hour; the short one shows in some minutes
that all of it works, and where things stand. Peers that cannot be installed are skipped with their reason.
"""

import argparse
import sys
from pathlib import Path

from benchmarks import alone, containers, crowd, held, machine, report, sleepers, throughput, worker
from benchmarks.figures import FULL, SHORT, Row

PARTS = {
    "throughput": throughput,
    "worker": worker,
    "sleepers": sleepers,
    "alone": alone,
    "held": held,
    "crowd": crowd,
    "containers": containers,
}


def main() -> int:
    """Run all; 1 when a figure is worse than it must be, in the full form."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--short", action="store_true", help="small sizes (default)")
    form.add_argument("--full", action="store_true", help="the sizes the figures are promised for")
    parser.add_argument("--out", type=Path, help="write the page here, such as docs/performance.md")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be repeated")
    given = parser.parse_args()
    size = FULL if given.full else SHORT
    about = machine.lines()
    rows: list[Row] = []
    for name in given.only or PARTS:
        for row in PARTS[name].rows(size):
            rows.append(row)
            figures = " / ".join(report.number(figure.value, figure.unit) for figure in row.figures)
            print(f"{row.verdict:8} {row.title}: {figures or row.note}", flush=True)
    command = "python -m benchmarks" + (" --full" if given.full else " --short")
    if given.out:
        given.out.write_text(report.page(rows, about, size.runs, command), encoding="utf-8")
    return int(given.full and any(row.verdict == "missed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
