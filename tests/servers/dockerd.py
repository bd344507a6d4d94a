"""A real docker engine for tests: its own network namespace, folders and socket; images made without a registry."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

DEADLINE = 60.0
BUSYBOX = "/bin/busybox"
TINY = "tiny:1"


class Dockerd:
    """One engine on one folder; `start` again after `kill` or `stop` to have it back with all it kept."""

    NEEDED: tuple[str, ...] = ("docker", "dockerd", "ip", "nsenter", "iptables")

    @classmethod
    def cannot_start(cls) -> str:
        """Why none can be started here, "" when nothing speaks against it."""
        if os.geteuid() != 0:
            return "only root starts a container engine"
        absent = [program for program in cls.NEEDED if shutil.which(program) is None]
        if absent or not os.path.exists(BUSYBOX):
            return f"not installed: {' '.join(absent) or 'busybox-static'} (tests/install installs them)"
        return ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = f"scitq{folder.name}"
        self.socket = folder / "docker.sock"
        self.host = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.folder / "docker.pid").unlink(missing_ok=True)
        self._serve(
            "dockerd",
            *("--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")),
            *("-H", self.host, "-p", str(self.folder / "docker.pid"), "--bip", "10.231.0.1/24"),
        )

    def _serve(self, *words: str, **environ: str) -> None:
        """Start the engine in its network, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self.within, *words],
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + DEADLINE
        while not self._answers():
            assert self._process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def _answers(self) -> bool:
        words = ["docker", "version"]
        return not subprocess.run(words, env=self.environment, capture_output=True, check=False).returncode

    @property
    def within(self) -> list[str]:
        """Words that start a program in the engine's network."""
        return ["nsenter", f"--net=/run/netns/{self.network}"]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DOCKER_HOST": self.host}

    def docker(self, *words: str, content: bytes | None = None) -> str:
        """Run the docker command line; what it printed."""
        done = subprocess.run(
            ["docker", *words], env=self.environment, input=content, capture_output=True, check=False
        )
        assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr.decode()}"
        return done.stdout.decode()

    def containers(self) -> list[str]:
        """The names of all containers, running or not."""
        return self.docker("ps", "-a", "--format", "{{.Names}}").split()

    def add_image(self, name: str = TINY, *changes: str) -> None:
        """An image with busybox in it and nothing else; `changes` as `docker import -c` takes them."""
        root = self.folder / "root"
        if not root.exists():
            (root / "bin").mkdir(parents=True)
            shutil.copy(BUSYBOX, root / "bin" / "busybox")
            for applet in subprocess.run(
                [BUSYBOX, "--list"], capture_output=True, text=True, check=True
            ).stdout.split():
                with contextlib.suppress(FileExistsError):
                    (root / "bin" / applet).symlink_to("busybox")
        packed = subprocess.run(["tar", "-C", str(root), "-c", "."], capture_output=True, check=True).stdout
        self.docker("import", *(word for change in changes for word in ("-c", change)), "-", name, content=packed)

    def signal(self, number: int) -> None:
        """Signal the engine itself, and wait for its end, and for that of its containerd: one dying is in the way."""
        assert self._process is not None
        os.kill(int((self.folder / "docker.pid").read_text()), number)
        self._process.wait(DEADLINE)
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            containerd = int((self.folder / "exec/containerd/containerd.pid").read_text())
            os.kill(containerd, signal.SIGKILL)
            while Path(f"/proc/{containerd}").exists():
                time.sleep(0.01)

    def kill(self) -> None:
        """`kill -9`: what it started lives on until it is back."""
        self.signal(signal.SIGKILL)

    def said(self) -> str:
        return (self.folder / "log").read_text()[-4000:]

    def clear(self) -> None:
        """Nothing of it is left: no process, mount, namespace or folder."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGTERM)
        mark = str(self.folder).encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if mark in (entry / "cmdline").read_bytes():
                        os.kill(int(entry.name), signal.SIGKILL)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((mount for mount in mounts if mount.startswith(str(self.folder))), reverse=True):
            subprocess.run(["umount", "-l", mount], check=False)
        subprocess.run(["ip", "netns", "del", self.network], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


E = TypeVar("E", bound=Dockerd)


@contextmanager
def started(kind: type[E]) -> Iterator[E]:
    """A started engine that has the image `tiny:1`; the folder's name is short, for sockets lie in it."""
    one = kind(Path(tempfile.mkdtemp(prefix="s", dir="/tmp")))
    try:
        subprocess.run(["ip", "netns", "add", one.network], check=True)
        subprocess.run(["ip", "-n", one.network, "link", "set", "lo", "up"], check=True)
        one.start()
        one.add_image()
        yield one
    finally:
        one.clear()
