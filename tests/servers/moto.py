"""Moto's S3: the shapes of Amazon's own answers, ETags of objects in parts included; it checks no keys."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.servers.ports import free_port, listening


@contextmanager
def moto_s3() -> Iterator[str]:
    """Yields the endpoint of an S3 without buckets. Skips without moto (PyPI: moto[server])."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        pytest.skip("no moto here")
    port = free_port()
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            listening(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
