"""A real podman behind its docker-compatible socket, for tests: its own storage, runc, no journal."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.dockerd import BUSYBOX, DEADLINE, TINY, Dockerd

CONFIG = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager="cgroupfs"
events_logger="file"
runtime="runc"
"""
NEEDED = ("docker", "podman", "runc", "ip", "nsenter")


def cannot_start() -> str:
    """Why no podman can be started here, "" when nothing speaks against it."""
    if os.geteuid() != 0:
        return "only root starts this podman"
    absent = [program for program in NEEDED if shutil.which(program) is None]
    if absent or not os.path.exists(BUSYBOX):
        return f"not installed: {' '.join(absent) or 'busybox-static'} (tests/install installs them)"
    return ""


class Podman(Dockerd):
    """One service on one folder, asked as docker is."""

    def start(self) -> None:
        (self.folder / "containers.conf").write_text(CONFIG)
        self.socket.unlink(missing_ok=True)
        words = [
            "podman",
            *("--root", str(self.folder / "data"), "--runroot", str(self.folder / "run")),
            *("--tmpdir", str(self.folder / "tmp")),
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.network}", *words, "system", "service", "-t", "0", self.host],
                env={**os.environ, "CONTAINERS_CONF": str(self.folder / "containers.conf")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._await_answer()

    def signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)
        self._process.wait(DEADLINE)


@contextmanager
def podman() -> Iterator[Podman]:
    """A started podman that has the image `tiny:1`."""
    engine = Podman(Path(tempfile.mkdtemp(prefix="sp", dir="/tmp")))
    try:
        subprocess.run(["ip", "netns", "add", engine.network], check=True)
        subprocess.run(["ip", "-n", engine.network, "link", "set", "lo", "up"], check=True)
        engine.start()
        engine.add_image(TINY)
        yield engine
    finally:
        with contextlib.suppress(AssertionError, OSError):
            if left := engine.containers():
                engine.docker("rm", "-f", *left)
        engine.clear()
