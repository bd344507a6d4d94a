"""Azurite: Azure Blob Storage as Microsoft's own emulator serves it: signatures, blocks, pages of listings."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.ports import free_port, listening

_PROGRAM = Path(__file__).parent / "node_modules/.bin/azurite-blob"


@contextmanager
def azurite(root: Path, account: str, key: str) -> Iterator[str]:
    """Yields a connection string; `key` in base64. Skips where it is not installed (tests/install does)."""
    if not _PROGRAM.exists() or shutil.which("node") is None:
        pytest.skip("no azurite here: tests/install installs it")
    port = free_port()
    place = ("--location", str(root), "--blobHost", "127.0.0.1", "--blobPort", str(port))
    quiet = os.environ | {"AZURITE_ACCOUNTS": f"{account}:{key}"}
    words = [str(_PROGRAM), "--silent", "--disableTelemetry", "--skipApiVersionCheck", *place]
    with subprocess.Popen(words, env=quiet, stdout=subprocess.DEVNULL) as server:
        try:
            listening(port, server)
            yield (
                f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};"
                f"BlobEndpoint=http://127.0.0.1:{port}/{account};"
            )
        finally:
            server.terminate()
