"""Every figure of fetch beside the peers in one run: `python -m benchmarks.fetch [--short|--full] [--out FILE]`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import report
from benchmarks.fetch import stores

if TYPE_CHECKING:
    from benchmarks.figures import Row

SHORT = stores.Size(large=256 << 20, azure_large=64 << 20, small=300, keys=2_000, web=128 << 20, runs=3)
FULL = stores.Size(large=2 << 30, azure_large=512 << 20, small=2_000, keys=20_000, web=1 << 30, runs=3)
PARTS = {"stores": stores}


def main() -> int:
    """Run all; 1 when a figure is worse than it must be, in the full form."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fetch", description=__doc__)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--short", action="store_true", help="small sizes (default)")
    form.add_argument("--full", action="store_true", help="the sizes the figures are promised for")
    parser.add_argument("--out", type=Path, help="write the page here, such as docs/performance-of-fetch.md")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be repeated")
    given = parser.parse_args()
    rows: list[Row] = []
    for name in given.only or PARTS:
        for row in PARTS[name].rows(FULL if given.full else SHORT):
            rows.append(row)
            figures = " / ".join(report.number(figure.value, figure.unit) for figure in row.figures)
            print(f"{row.verdict:8} {row.title}: {figures}\n         {row.note}", flush=True)
    return int(given.full and any(row.verdict == "missed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
