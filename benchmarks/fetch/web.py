"""FTP and HTTP: one large file whose MD5 is checked on the way, and one that is unpacked on the way."""

import base64
import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.fetch import movers, payload
from benchmarks.fetch.contest import Subject, contest, row
from benchmarks.fetch.size import Size
from benchmarks.figures import Row
from tests.servers.ena import ena
from tests.servers.nginx import nginx
from tests.servers.vsftpd import vsftpd

RUN = "ERR000001"


def rows(size: Size) -> Iterator[Row]:
    """Beside aria2 with four connections, and md5sum or gunzip of the file where it lies."""
    with payload.folder(4 * size.web) as home, ExitStack() as servers:
        served, target = home / "served", home / "got"
        large = payload.file(served / "place" / f"{RUN}.fastq.gz", size.web)
        packed = _packed(served / "place" / "packed.gz", size.web)
        md5 = _md5(large)
        header = f'add_header Content-MD5 "{base64.b64encode(md5).decode()}";'
        http = servers.enter_context(nginx(served, home / "nginx", f"location = /place/{large.name} {{ {header} }}"))
        ftp = servers.enter_context(vsftpd(served))
        portal = servers.enter_context(ena(home / "ena"))
        path = f"{ftp}/place/{large.name}"
        told = {"run_accession": RUN, "fastq_ftp": path, "fastq_bytes": str(size.web), "fastq_md5": md5.hex()}
        portal.rows[RUN] = [told]
        amount = f"{size.web >> 20:,} MiB"
        at = f"http://{http}/place"
        checked = f"{amount}, MD5 checked on the way"
        mine = Subject((*movers.SCITQ, "copy", f"{at}/{large.name}", f"{target}/"))
        yield _checked(f"HTTP, {checked}", mine, f"{at}/{large.name}", large, target, size)
        mine = Subject((*movers.SCITQ, "copy", f"run+fastq@ftp://{RUN}", f"{target}/"), {"SCITQ_ENA_URL": portal.url})
        yield _checked(f"FTP, {checked} (as run+fastq)", mine, f"ftp://{path}", large, target, size)
        yield _unpacked(f"`|gunzip` of {amount} while downloading", f"{at}/packed.gz", packed, target, size)


def _checked(title: str, mine: Subject, address: str, large: Path, target: Path, size: Size) -> Row:
    got = target / large.name
    costs, skipped = contest(
        {
            "scitq": mine,
            "aria2 -x4": movers.aria2(address, target),
            "md5sum alone": Subject(("md5sum", str(large))),
        },
        size.runs,
        lambda: payload.gone(got),
        lambda: payload.same(large, got) if got.exists() else None,
    )
    return row(title, costs, skipped, beside=("aria2 -x4", "md5sum alone"), must=1.1, reach=1.1, slowest=True)


def _unpacked(title: str, address: str, packed: Path, target: Path, size: Size) -> Row:
    plain, got = packed.with_suffix(""), target / "packed"

    def clear() -> None:
        payload.gone(got)
        payload.gone(target / "packed.gz")

    costs, skipped = contest(
        {
            "scitq": Subject((*movers.SCITQ, "copy", f"{address}|gunzip", f"{target}/")),
            "aria2 -x4": movers.aria2(address, target),
            "gunzip alone": Subject(("sh", "-c", f"gunzip -c {packed} > {got}")),
        },
        size.runs,
        clear,
        lambda: payload.same(plain, got) if got.exists() else None,
    )
    return row(title, costs, skipped, beside=("aria2 -x4", "gunzip alone"), must=1.15, reach=1.15, slowest=True)


def _md5(path: Path) -> bytes:
    """Read by blocks: children begin with the peak of who measures."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "md5").digest()


def _packed(path: Path, size: int) -> Path:
    """A file of text that packs as FASTQ does, about four to one, beside it unpacked."""
    plain = path.with_suffix("")
    block = b"".join(b"@read.%d\n%s\n+\n%s\n" % (n, _bases(n), b"F" * 100) for n in range(20_000))
    with plain.open("wb") as made:
        while made.tell() < size:
            made.write(block[: size - made.tell()])
    subprocess.run(["gzip", "-k", "-1", plain], check=True)
    return path


def _bases(seed: int) -> bytes:
    return hashlib.shake_128(str(seed).encode()).digest(100).translate(bytes(b"ACGT"[n & 3] for n in range(256)))
