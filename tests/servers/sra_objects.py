"""Real objects of SRA, made offline by the loaders of sra-toolkit from reads that are made up."""

import io
import random
import shutil
import subprocess
import tarfile
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


def image() -> bytes:
    """What `docker import` takes for a container with these tools: they, and all they are linked to."""
    packed = io.BytesIO()
    tools = [Path(found) for tool in TOOLS[2:] if (found := shutil.which(tool))]
    paths = {*tools, *(tool.resolve() for tool in tools), *Path("/usr/lib/sra-toolkit").glob("*-orig")}
    for path in [path for path in paths if not path.is_symlink()]:
        linked = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        paths |= {Path(word) for word in linked.split() if word.startswith("/")}
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(paths):
            archive.add(path if path in tools else path.resolve(), str(path).lstrip("/"))
        archive.add("/etc/ncbi", "etc/ncbi")
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(folder)
    return packed.getvalue()
