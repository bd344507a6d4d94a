"""Real objects of SRA, made offline by the loaders of sra-toolkit from reads that are made up."""

import random
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

TOOLS = ("latf-load", "kar", "vdb-validate", "vdb-dump", "fasterq-dump", "prefetch")
INSTALLED = all(map(shutil.which, TOOLS))


class Reads(NamedTuple):
    """What a run is made of."""

    pairs: int = 0
    singles: int = 0  # without a mate


def make(run: str, reads: Reads, folder: Path) -> bytes:
    """The object of a run, as NCBI would serve it."""
    work = folder / f"{run}.made"
    work.mkdir()
    (work / "1.fastq").write_text(_fastq(range(reads.pairs + reads.singles), 1))
    words = ["latf-load", "--platform", "ILLUMINA", "--quality", "PHRED_33", "--output", "loaded"]
    if reads.pairs:
        (work / "2.fastq").write_text(_fastq(range(reads.pairs), 2))
        words += ["--read1PairFiles", "1.fastq", "--read2PairFiles", "2.fastq"]
    else:
        words.append("1.fastq")
    subprocess.run(words, cwd=work, check=True, capture_output=True)
    subprocess.run(["kar", "--create", "object", "--directory", "loaded"], cwd=work, check=True, capture_output=True)
    content = (work / "object").read_bytes()
    shutil.rmtree(work)
    return content


def _fastq(spots: range, mate: int) -> str:
    return "".join(
        f"@HWI:1:FC:1:1101:1:{spot}/{mate}\n{bases(spot, mate)}\n+\n{'I' * len(bases(spot, mate))}\n"
        for spot in spots
    )


def bases(spot: int, mate: int) -> str:
    """The sequence of a read: spots are counted from 0."""
    return "".join(random.Random(f"{spot}/{mate}").choices("ACGT", k=60))
