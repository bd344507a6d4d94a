"""A docker registry with one user, in the network of an engine; it counts what is asked of it."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.dockerd import DEADLINE, TINY, Dockerd

USER, PASSWORD = "alice", "s3cret"
ADDRESS = "127.0.0.1:5000"
CONFIG = """
version: 0.1
log: {{level: info, accesslog: {{disabled: false}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: {address}}}
auth: {{htpasswd: {{realm: scitq, path: {folder}/htpasswd}}}}
"""


class Registry:
    """One registry; its images are made of the tiny one."""

    def __init__(self, engine: Dockerd, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.log = folder / "log"

    def add(self, name: str, *changes: str) -> str:
        """Push an image that the engine has no more then; its whole name."""
        image = f"{ADDRESS}/{name}"
        self.engine.add_image(image, *changes)
        return self._move(image)

    def add_grown(self, name: str, size: int) -> str:
        """The same of the tiny image with a second layer of so many bytes, which nothing packs smaller."""
        image, grown = f"{ADDRESS}/{name}", self.folder / "grown"
        grown.write_bytes(os.urandom(size))
        self.engine.docker("create", "--name", "grown", TINY, "true")
        self.engine.docker("cp", str(grown), "grown:/grown")
        self.engine.docker("commit", "grown", image)
        self.engine.docker("rm", "grown")
        return self._move(image)

    def _move(self, image: str) -> str:
        self.engine.docker("login", "-u", USER, "--password-stdin", ADDRESS, content=PASSWORD.encode())
        try:
            self.engine.docker("push", "-q", image)
        finally:
            self.engine.docker("logout", ADDRESS)
        self.engine.docker("rmi", image)
        return image

    def pulls(self, image: str) -> int:
        """How often the contents of an image were fetched."""
        path = image.partition("/")[2].partition(":")[0]
        return self.log.read_text().count(f'"GET /v2/{path}/blobs/')


@contextmanager
def registry(engine: Dockerd, folder: Path) -> Iterator[Registry]:
    """A started registry. Skips without the programs."""
    if shutil.which("docker-registry") is None or shutil.which("htpasswd") is None:
        pytest.skip("no docker-registry or htpasswd here (tests/install installs them)")
    folder.mkdir()
    hashed = subprocess.run(["htpasswd", "-Bbn", USER, PASSWORD], capture_output=True, check=True).stdout
    (folder / "htpasswd").write_bytes(hashed)
    (folder / "config.yml").write_text(CONFIG.format(folder=folder, address=ADDRESS))
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(
            [*engine.within, "docker-registry", "serve", str(folder / "config.yml")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        one = Registry(engine, folder)
        deadline = time.monotonic() + DEADLINE
        while b"listening on" not in one.log.read_bytes():
            assert server.poll() is None, one.log.read_text()
            assert time.monotonic() < deadline, one.log.read_text()
            time.sleep(0.02)
        yield one
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(DEADLINE)
