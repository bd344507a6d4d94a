"""Puts the tables of all runs into one: $INPUT/*.tsv -> $OUTPUT/summary.tsv."""

import os
from pathlib import Path


def summary_of(folder: Path) -> str:
    """The names of the columns, then the counts of each run in the order of their names."""
    tables = [path.read_text(encoding="utf-8").splitlines(keepends=True) for path in sorted(folder.glob("*.tsv"))]
    return "".join([tables[0][0], *(counts for _, counts in tables)])


def main() -> None:
    """Do the one task."""
    table = summary_of(Path(os.environ["INPUT"]))
    Path(os.environ["OUTPUT"], "summary.tsv").write_text(table, encoding="utf-8")
    print(table, end="")


if __name__ == "__main__":
    main()
