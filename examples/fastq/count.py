"""Counts the reads of one run by species: what each of the twelve tasks runs.

$INPUT holds the run, $RESOURCE the panel (see make.py), $PHRED says how its qualities are written, and what is
left in $OUTPUT is collected: a table of two lines, the names of the columns and the counts.
"""

import gzip
import io
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

K = 16
HIGHEST = 41  # no machine is surer than that


def read_panel(table: Iterable[bytes]) -> dict[bytes, str]:
    """Species by k-mer."""
    pairs = (line.split() for line in table)
    return {kmer: species.decode() for kmer, species in pairs}


def species_of(read: bytes, panel: dict[bytes, str]) -> str:
    """The species of the first k-mer of the read that is in the panel."""
    for at in range(len(read) - K + 1):
        if found := panel.get(read[at : at + K]):
            return found
    return "unknown"


def count_run(run: Path, panel: dict[bytes, str], phred: int) -> str:
    """The counts of a run as a table; ValueError when its qualities are not Phred+`phred`."""
    species: Counter[str] = Counter()
    length = strong = quality = 0
    with io.BufferedReader(gzip.open(run)) as lines:  # type: ignore[arg-type]
        for _, *record in zip(lines, lines, lines, lines, strict=True):
            read, _, marks = (line.rstrip() for line in record)
            if max(marks) > phred + HIGHEST or min(marks) < phred:
                raise ValueError(f"{run.name}: {marks[:20].decode()}… are no qualities of Phred+{phred}")
            species[species_of(read, panel)] += 1
            length += len(read)
            strong += read.count(b"G") + read.count(b"C")
            quality += sum(marks) - phred * len(marks)
    counted = {name: species[name] for name in [*sorted(set(panel.values())), "unknown"]}
    row = {
        "run": run.name.removesuffix(".fastq.gz"),
        "reads": species.total(),
        "bases": length,
        "gc": f"{strong / length:.4f}",
        "quality": f"{quality / length:.2f}",
        **counted,
    }
    return "\t".join(row) + "\n" + "\t".join(map(str, row.values())) + "\n"


def main() -> None:
    """Do the one task."""
    (run,) = Path(os.environ["INPUT"]).glob("*.fastq.gz")
    with Path(os.environ["RESOURCE"], "panel", "kmers.tsv").open("rb") as table:
        panel = read_panel(table)
    print(f"{run.name}: {run.stat().st_size} bytes, {len(panel)} k-mers")
    try:
        counts = count_run(run, panel, int(os.environ["PHRED"]))
    except ValueError as problem:
        sys.exit(str(problem))
    Path(os.environ["OUTPUT"], run.name.replace(".fastq.gz", ".tsv")).write_text(counts, encoding="utf-8")


if __name__ == "__main__":
    main()
