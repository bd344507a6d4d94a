"""Makes the data of this example: twelve sequencing runs, and the panel of species to look for in them.

    FOLDER/runs/run01.fastq.gz … run12.fastq.gz   reads of 150 bases; at least --megabytes each
    FOLDER/panel.tar.gz                           panel/kmers.tsv: a k-mer of 16 bases, a tab, its species

The same seed makes the same reads. Run 7 comes from an old machine: it writes qualities as Phred+64.
"""

import argparse
import gzip
import io
import random
import tarfile
from pathlib import Path

SPECIES = ("A.muciniphila", "B.fragilis", "E.coli", "F.prausnitzii", "P.copri", "R.bromii")
GENOME = 50_000  # bases of each
K = 16
STEP = 8  # the panel has every eighth k-mer of a genome
READ = 150
RUNS = 12
OLD_RUN = 7
BLOCK = 500  # reads written at once
MEGABYTE = 1_000_000

_BASES = bytes(b"ACGT"[byte & 3] for byte in range(256))


def bases(rng: random.Random, count: int) -> bytes:
    """So many random bases."""
    return rng.randbytes(count).translate(_BASES)


def make_panel(path: Path, genomes: list[bytes]) -> None:
    """The table of k-mers, as an archive."""
    lines = [
        b"%s\t%s\n" % (genome[at : at + K], species.encode())
        for species, genome in zip(SPECIES, genomes, strict=True)
        for at in range(0, GENOME - K, STEP)
    ]
    table = b"".join(lines)
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("panel/kmers.tsv")
        member.size = len(table)
        archive.addfile(member, io.BytesIO(table))


def make_run(path: Path, number: int, genomes: list[bytes], seed: int, size: int) -> None:
    """One run: reads of the six species in its own proportions, one in ten of something unknown."""
    rng = random.Random(f"{seed}/{number}")
    unknown = bases(rng, 20 * GENOME)
    weights = [rng.random() for _ in SPECIES]
    shares = [0.9 * weight / sum(weights) for weight in weights]
    zero = 64 if number == OLD_RUN else 33
    qualities = bytes(zero + quality for quality in rng.choices(range(2, 41), range(2, 41), k=200_000))
    count = 0
    with path.open("wb") as file, gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed:
        while file.tell() < size:
            block = bytearray()
            for source in rng.choices([*genomes, unknown], [*shares, 0.1], k=BLOCK):
                count += 1
                at, best = rng.randrange(len(source) - READ), rng.randrange(len(qualities) - READ)
                block += b"@run%02d.%d length=%d\n" % (number, count, READ)
                block += source[at : at + READ] + b"\n+\n" + qualities[best : best + READ] + b"\n"
            packed.write(block)


def main() -> None:
    """Make what is not there yet."""
    parser = argparse.ArgumentParser(description="Make the data of this example.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=10, help="size of each run, compressed (10)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    genomes = [bases(rng, GENOME) for _ in SPECIES]
    runs = given.folder / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    make_panel(given.folder / "panel.tar.gz", genomes)
    for number in range(1, RUNS + 1):
        make_run(runs / f"run{number:02}.fastq.gz", number, genomes, given.seed, int(given.megabytes * MEGABYTE))
    print(f"{given.folder}: {RUNS} runs of at least {given.megabytes:g} MB each, and the panel")


if __name__ == "__main__":
    main()
