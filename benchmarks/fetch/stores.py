"""S3 and Azure: one large file, many small ones, listings, and a sync that finds nothing to do."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.fetch import movers, payload
from benchmarks.fetch.contest import Subject, contest, row, run
from benchmarks.fetch.listing import SIMULATED
from benchmarks.fetch.size import Size
from benchmarks.figures import Figure, Row, median
from tests.servers.certificate import Certificate, certificate

MEMORY = 150.0  # MiB


def rows(size: Size) -> Iterator[Row]:
    """S3 without and with TLS, then Azure."""
    with payload.folder(4 * size.large) as home:
        large = payload.file(home / "large", size.large)
        small = payload.files(home / "small", size.small, 64 << 10)
        root = home / "s3"
        for own in (None, certificate(home)):
            (root / "bucket").mkdir(parents=True)
            with _stand_in(root, own) as port:
                store = movers.s3(port, own.path if own else None)
                yield from _large(store, "S3 over TLS" if own else "S3", large, root, home, size)
                yield from _small(store, "S3 over TLS" if own else "S3", small, root, home, size)
                if not own:
                    yield from _many(store, root, home, size)
                    yield _simulated(store, size)
            payload.gone(root)


def _large(store: movers.Store, where: str, large: Path, root: Path, home: Path, size: Size) -> Iterator[Row]:
    stored, target = root / "bucket/large", home / "got"
    amount = f"{size.large >> 20:,} MiB file"
    uploads = contest(
        movers.up(store, large, "bucket/large"),
        size.runs,
        lambda: payload.gone(stored),
        lambda: payload.same(large, stored),
    )
    beside = ("s5cmd", "rclone")
    yield row(f"{where}, {amount} up", *uploads, beside=beside, must=1.2, reach=1.0, memory=MEMORY)
    downloads = contest(
        movers.down(store, "bucket/large", target),
        size.runs,
        lambda: payload.gone(target),
        lambda: payload.same(large, target),
    )
    yield row(f"{where}, {amount} down", *downloads, beside=beside, must=1.2, reach=1.0, memory=MEMORY)
    payload.gone(target)
    payload.gone(stored)


def _small(store: movers.Store, where: str, small: Path, root: Path, home: Path, size: Size) -> Iterator[Row]:
    stored, target = root / "bucket/small", home / "got"
    amount = f"{size.small:,} files of 64 KiB"
    for way, subjects, to in (
        ("up", movers.up(store, small, "bucket/small/"), stored),
        ("down", movers.down(store, "bucket/small/", target), target),
    ):
        costs, skipped = contest(subjects, size.runs, partial(payload.gone, to), partial(payload.same, small, to))
        title = f"{where}, {amount} {way}"
        yield row(title, costs, skipped, beside=("s5cmd", "rclone"), must=1.2, reach=1.0)
        if "aws" in costs:
            times = median([his.wall / mine.wall for mine, his in zip(costs["scitq"], costs["aws"], strict=True)])
            yield Row(f"{title}: how many times faster than the aws command", (Figure(times, 8, 8, "x", less=False),))


def _many(store: movers.Store, root: Path, home: Path, size: Size) -> Iterator[Row]:
    many = payload.files(home / "many", size.keys, 100)
    nothing = lambda: None  # noqa: E731 - nothing to prepare, nothing to verify
    movers_up = movers.up(store, many, "bucket/many/")
    contest({"scitq": movers_up["scitq"]}, 1, nothing, lambda: payload.same(many, root / "bucket/many"))
    listed = contest(movers.listing(store, "bucket/many/"), size.runs, nothing, nothing)
    yield row(f"S3, list of {size.keys:,} keys", *listed, beside=("rclone",), must=1.2, reach=1.0)
    synced = contest(movers.sync(store, many, "bucket/many/"), size.runs, nothing, nothing)
    yield row(f"S3, sync of {size.keys:,} files, nothing changed", *synced, beside=("rclone",), must=1.2, reach=1.0)
    payload.gone(many)


def _simulated(store: movers.Store, size: Size) -> Row:
    """Memory that grew with the number of keys would show between these two."""
    costs = {}
    for count in (size.simulated // 10, size.simulated):
        subject = Subject((*movers.SCITQ, "du", store.scitq(f"{SIMULATED}{count}/")), store.environ)
        costs[count] = run(subject)
    few, many = costs.values()
    note = ", ".join(f"{count:,} keys {cost.wall:.1f} s, {cost.peak:.0f} MiB" for count, cost in costs.items())
    figures = (Figure(many.peak, 200, 200, "MiB"), Figure(many.peak / few.peak, 1.1, 1.1, "x"))
    return Row(f"S3, {size.simulated:,} keys listed (simulated): memory, and that of a tenth of them", figures, note)


@contextmanager
def _stand_in(root: Path, own: Certificate | None) -> Iterator[int]:
    words = [sys.executable, "-m", "benchmarks.fetch.stand_in", str(root), *map(str, own or ())]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()
