"""Counts everything again, here and without scitq, and compares: `check.py FOLDER` is silent work, then one line."""

import sys
import tarfile
import tempfile
from pathlib import Path

from count import count_run, read_panel
from make import OLD_RUN, RUNS
from summarise import summary_of


def main() -> None:
    """Exit with what differs, if anything does."""
    folder = Path(sys.argv[1])
    with tarfile.open(folder / "panel.tar.gz") as archive:
        panel = read_panel(archive.extractfile("panel/kmers.tsv") or ())
    with tempfile.TemporaryDirectory() as place:
        counts = Path(place)
        for number in range(1, RUNS + 1):
            phred = 64 if number == OLD_RUN else 33
            table = count_run(folder / f"runs/run{number:02}.fastq.gz", panel, phred)
            (counts / f"run{number:02}.tsv").write_text(table, encoding="utf-8")
        expected = {path.name: path.read_bytes() for path in counts.iterdir()}
        expected["summary.tsv"] = summary_of(counts).encode()
    found = {path.name: path.read_bytes() for part in ("counts", "summary") for path in (folder / part).iterdir()}
    if different := sorted(name for name in expected | found if expected.get(name) != found.get(name)):
        sys.exit(f"{folder}: not as counted here: {', '.join(different)}")
    print(f"{folder}: {len(found)} tables, each as counted here")


if __name__ == "__main__":
    main()
