"""Every command of the manual, run in the order of its page in a home of its own, prints what the page shows."""

import gzip
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.home import Home
from tests.e2e.manual import Page, Step, is_as_expected, read
from tests.engines import lent
from tests.servers.dockerd import started
from tests.servers.ena import Ena, ena
from tests.servers.nvidia import NvidiaDockerd, nvidia_smi
from tests.servers.rclone import rclone_s3
from tests.sources import ROOT

if TYPE_CHECKING:
    from tests.servers.dockerd import Dockerd

PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name not in ("README.md", "protocol.md"))
DEADLINE = 30.0  # seconds for one command
MOST_NOT_RUN = 2  # blocks of a page

# Whoever reads is ada, on ada-pc; the server of several machines is lab.
S3 = "https://s3.gra.io.cloud.ovh.net"  # has a bucket `lab`
HOST = re.compile(r"(?<![\w.-])ada-pc(?![\w-])")
MARK = "--- done ---\n"
PYTHON = f"""
import sys, traceback
names = {{"__name__": "__main__"}}
while size := sys.stdin.readline():
    try:
        exec(compile(sys.stdin.read(int(size)), "the manual", "exec"), names)
    except BaseException:
        traceback.print_exc()
    print({MARK!r}, end="")
"""


class Session:
    """A shell, or a Python, that is told one thing after the other; both its streams are one, as in a terminal."""

    def __init__(self, words: list[str], environment: dict[str, str], folder: Path) -> None:
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
        )

    def run(self, script: str, enough: Callable[[str], bool]) -> str:
        """What is printed until it is done, and then, while that is not enough, until the deadline."""
        assert self._process.stdin is not None
        self._process.stdin.write(script.encode())
        self._process.stdin.flush()
        printed, deadline = "", time.monotonic() + DEADLINE
        while MARK not in printed or not enough(printed.replace(MARK, "")):
            more = self._read(deadline)
            if not more:
                break
            printed += more
        return printed.replace(MARK, "")

    def _read(self, deadline: float) -> str:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return os.read(fd, 1 << 20).decode() if poll.poll(max(0.0, deadline - time.monotonic()) * 1000) else ""

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


class Reader:
    """Somebody who types what a page says."""

    def __init__(self, home: Home, archives: Ena, engine: dict[str, str]) -> None:
        self.home = home
        self.s3 = S3
        folder = home.folder
        environment = home.environment | {
            "XDG_CONFIG_HOME": f"{folder}/.config",
            "XDG_DATA_HOME": f"{folder}/.local/share",
            "XDG_STATE_HOME": f"{folder}/.local/state",
            "PYTHONPATH": str(ROOT),
            **archives.environment,
            **engine,
        }
        environment["HOME"] = str(folder)
        python = [sys.executable, "-u", "-c", PYTHON]
        self._sessions = {
            "console": Session(["bash", "--norc", "--noprofile"], environment, folder),
            "python": Session(python, environment, folder),
        }
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._server = f"127.0.0.1:{free.getsockname()[1]}"

    def follow(self, step: Step) -> str:
        """Do what it says; what was printed, in the words of the page."""
        text = self._here(step.text)
        in_background = step.language == "console" and text.endswith("&")

        def enough(printed: str) -> bool:
            return not in_background or is_as_expected(self._there(printed), step.expected)

        if step.language == "console":
            script = f"{{ {text}\n}} </dev/null; code=$?; echo; echo '{MARK.strip()}'; (exit $code)\n"
        else:
            script = f"{len(text)}\n{text}"
        return self._there(self._sessions[step.language].run(script, enough))

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()

    def _here(self, text: str) -> str:
        """What the page writes -> what it is here."""
        text = text.replace("/home/ada", str(self.home.folder))
        text = text.replace("0.0.0.0:5555", self._server).replace("lab:5555", self._server)
        return HOST.sub(os.uname().nodename, text.replace(S3, self.s3))

    def _there(self, text: str) -> str:
        """What was printed here -> as the page writes it."""
        text = text.replace(str(self.home.folder), "/home/ada").replace(self._server, "lab:5555")
        return re.sub(rf"(?<![\w.-]){re.escape(os.uname().nodename)}(?![\w-])", "ada-pc", text)


def follow(page: Page, reader: Reader, name: str) -> None:
    """Type all of a page, and hold what is printed to it."""
    for step in page.steps:
        printed = reader.follow(step)

        assert is_as_expected(printed, step.expected), (
            f"{name}, line {step.line}:\n$ {step.text}\nprinted:\n{printed}\nnot:\n{step.expected}"
        )


@pytest.fixture
def archives(tmp_path: Path) -> Iterator[Ena]:
    """Public runs as the manual tells of them."""
    reads = gzip.compress(b"@read\nACGT\n+\nIIII\n" * 1000)
    with ena(tmp_path) as one:
        one.add("ERR3857002", {f"ERR3857002_{mate}.fastq.gz": reads for mate in (1, 2)}, "SAMEA5930123")
        one.add("ERR3857003", {"ERR3857003.fastq.gz": reads}, "SAMEA5930123")
        yield one


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """For the pages of containers and GPUs: a docker engine that has the image which they name."""
    if "[containers]" in request.node.name:
        docker: Dockerd = request.getfixturevalue("docker")
        docker.add_image("ubuntu:latest")
        yield {"DOCKER_HOST": docker.host}
    elif "[gpus]" in request.node.name:
        if reason := NvidiaDockerd.cannot_start():
            pytest.skip(reason)
        lent(request)
        with started(NvidiaDockerd) as one:
            one.add_ngc_image()
            yield {"DOCKER_HOST": one.host}
    else:
        yield {}


@pytest.fixture
def reader(request: pytest.FixtureRequest, archives: Ena, engine: dict[str, str]) -> Iterator[Reader]:
    # Short, for the socket of the mesh has a path of at most 100 bytes.
    folder = Path(tempfile.mkdtemp(prefix="ada-", dir="/tmp"))
    reader = Reader(Home(folder), archives, engine)
    if "[gpus]" in request.node.name:
        nvidia_smi(folder / "bin", 2)
    try:
        yield reader
    finally:
        reader.close()
        reader.home.clear()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_does_what_it_says(path: Path, reader: Reader, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    page = read(text)

    with ExitStack() as servers:
        if S3 in text:
            (tmp_path / "lab").mkdir()
            reader.s3 = servers.enter_context(rclone_s3(tmp_path))
        follow(page, reader, path.name)
    assert len(page.not_run) <= MOST_NOT_RUN, page.not_run


def test_the_first_real_task_of_the_readme(reader: Reader) -> None:
    """It comes after the README's first command, which installs scitq and runs task 1."""
    _, title, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition("## A first real task\n")
    follow(Page([Step(0, "console", "scitq launch --wait echo hello", "…\nhello\n")], []), reader, "README.md")

    page = read(rest)

    assert title
    assert page.steps
    follow(page, reader, "README.md, its first real task")


def test_there_are_pages() -> None:
    assert PAGES


def test_a_page_is_read_as_a_reader_would() -> None:
    page = read(
        "```console\n$ echo a \\\n> b\na b\n$ true\n```\n"
        "```python\nprint(1)\n```\n\n```text\n1\n```\n"
        "```console\n# not run: it takes a week\n$ sleep 604800\n```\n"
    )

    assert page == Page(
        [
            Step(2, "console", "echo a \\\nb", "a b\n"),
            Step(5, "console", "true", ""),
            Step(8, "python", "print(1)\n", "1\n"),
        ],
        ["it takes a week"],
    )


def test_a_block_that_nobody_runs_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2: a block marked 'sh'"):
        read("```sh\nrm -rf /\n```\n")


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("a  b\n", "a b\n", True),
        ("a b\n", "a …\n", True),
        ("a\nb\nc\n", "a\n…\nc\n", True),
        ("a\nc\n", "a\n…\nc\n", True),
        ("a\n", "b\n", False),
        ("a\nb\n", "a\n", False),
        ("", "a\n", False),
        ("a.c\n", "a.c\n", True),
        ("abc\n", "a.c\n", False),
    ],
)
def test_what_is_printed_is_held_to_what_is_shown(printed: str, expected: str, same: bool) -> None:
    assert is_as_expected(printed, expected) is same
