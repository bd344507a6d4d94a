"""A real podman behind its docker-compatible socket, for tests: its own storage, runc, no journal."""

import contextlib
import os

from tests.servers.dockerd import DEADLINE, Dockerd

CONFIG = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager="cgroupfs"
events_logger="file"
runtime="runc"
"""


class Podman(Dockerd):
    """One service on one folder, asked as docker is."""

    NEEDED = ("docker", "podman", "runc", "ip", "nsenter")

    def start(self) -> None:
        config = self.folder / "containers.conf"
        config.write_text(CONFIG)
        self.socket.unlink(missing_ok=True)
        self._serve(
            "podman",
            *("--root", str(self.folder / "data"), "--runroot", str(self.folder / "run")),
            *("--tmpdir", str(self.folder / "tmp"), "system", "service", "-t", "0", self.host),
            CONTAINERS_CONF=str(config),
        )

    def signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)
        self._process.wait(DEADLINE)

    def clear(self) -> None:
        with contextlib.suppress(AssertionError, OSError):
            if left := self.containers():
                self.docker("rm", "-f", *left)
        super().clear()
