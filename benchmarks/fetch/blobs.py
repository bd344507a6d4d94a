"""Azure, as Azurite plays it: itself the limit of all movers, so that only ratios tell."""

import base64
import os
import subprocess
from collections.abc import Iterator
from functools import partial

from azure.storage.blob import BlobServiceClient

from benchmarks.fetch import movers, payload
from benchmarks.fetch.contest import Subject, contest, row
from benchmarks.fetch.size import Size
from benchmarks.figures import Row
from tests.servers.azurite import azurite

KEY = base64.b64encode(b"of an account that lives as long as a run").decode()


def rows(size: Size) -> Iterator[Row]:
    """One large file and many small ones, up and down, beside rclone."""
    with payload.folder(4 * size.azure) as home, azurite(home / "azurite", "lab", KEY) as connection:
        with BlobServiceClient.from_connection_string(connection) as client:
            client.create_container("bucket").close()
        store = movers.azure(connection)
        large = payload.file(home / "large", size.azure)
        small = payload.files(home / "small", size.small, 64 << 10)
        target = home / "got"
        for what, content, path, reach in (
            (f"{size.azure >> 20:,} MiB file", large, "bucket/large", 1.1),
            (f"{size.small:,} files of 64 KiB", small, "bucket/small/", 1.0),
        ):
            stored = Subject((*movers.SCITQ, "delete", store.scitq(path)), store.environ)
            uploads = contest(movers.up(store, content, path), size.runs, partial(_clear, stored), lambda: None)
            yield row(f"Azure, {what} up", *uploads, beside=("rclone",), must=1.2, reach=1.0)
            prepare, verify = partial(payload.gone, target), partial(payload.same, content, target)
            downloads = contest(movers.down(store, path, target), size.runs, prepare, verify)
            yield row(f"Azure, {what} down", *downloads, beside=("rclone",), must=1.2, reach=reach)
            payload.gone(target)


def _clear(delete: Subject) -> None:
    """What is not there need not go; what cannot go, the verified download tells."""
    environ = {**os.environ, **delete.environ}
    subprocess.run(delete.words, env=environ, capture_output=True, check=False)
