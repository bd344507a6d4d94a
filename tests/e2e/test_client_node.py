"""The JavaScript client against a real broker and worker: tcp, CURVE, access files."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import zmq

from scitq.config import AccessFile, read_access, write_access
from tests.integration.mesh import DEADLINE, BrokerProcess, broker, until
from tests.sources import ROOT

EXAMPLE = ROOT / "examples/client-node"
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="Node.js is not installed"),
    pytest.mark.skipif(
        not (EXAMPLE / "node_modules").exists(), reason="`npm ci` was not run in examples/client-node: tests/install"
    ),
]

STRANGER = [key.decode() for key in zmq.curve_keypair()]


def grant(process: BrokerProcess, name: str, role: Literal["user", "worker"], folder: Path) -> Path:
    with process.client() as admin:
        write_access(folder / f"{name}.toml", admin.access_create(name, role, address=process.address))
    return folder / f"{name}.toml"


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The access file of a user of a mesh with one worker."""
    folder = tmp_path_factory.mktemp("mesh")
    with broker(folder, tcp=True) as process:
        worker = grant(process, "worker", "worker", folder)
        command = [sys.executable, "-m", "scitq", "node", "--access", str(worker)]
        with (
            (folder / "node.log").open("wb") as log,
            subprocess.Popen(
                [*command, "--name", "worker", "--scratch", str(folder / "scratch")], stderr=log
            ) as agent,
            process.client() as admin,
        ):
            try:
                until(lambda: any(row.status == "online" for row in admin.workers()), "a worker online")
                yield grant(process, "alice", "user", folder)
            finally:
                agent.terminate()


def run(access: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    assert NODE is not None
    command = [NODE, str(EXAMPLE / "run.js"), "--access", str(access), *words]
    return subprocess.run(command, capture_output=True, timeout=DEADLINE, check=False)


def test_it_prints_the_output_and_exits_with_the_code(access: Path) -> None:
    done = run(access, "--", "sh", "-c", 'echo "out $1"; echo err >&2; exit 7', "sh", "é $HOME 'quoted'")
    assert done.stdout == "out é $HOME 'quoted'\n".encode()
    lines = done.stderr.decode().splitlines()
    assert lines[0].startswith("Task queued with task id: ")
    assert "err" in lines
    assert done.returncode == 7
    assert run(access, "--", "true").returncode == 0


def test_more_output_than_the_first_credit_arrives_whole(access: Path, tmp_path: Path) -> None:
    written = tmp_path / "written"
    written.write_bytes(bytes(range(256)) * 20_000)
    done = run(access, "--", "cat", str(written))
    assert done.returncode == 0
    assert done.stdout == written.read_bytes()


def test_what_cannot_run_is_said(access: Path) -> None:
    done = run(access, "--", "no-such-program")
    assert done.returncode == 1
    assert b"no-such-program" in done.stderr.splitlines()[-1]


def changed(access: Path, folder: Path, **fields: str) -> Path:
    file = read_access(access)
    values = {name: getattr(file, name) for name in file.__struct_fields__}
    write_access(folder / "changed.toml", AccessFile(**{**values, **fields}))
    return folder / "changed.toml"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"address": "tcp://127.0.0.1:9"}, "nothing answers at tcp://127.0.0.1:9"),
        ({"server_key": "1" * 40}, "has not the server key"),
        (dict(zip(("public_key", "secret_key"), STRANGER, strict=True)), "does not accept this key"),
    ],
)
def test_three_ways_to_be_kept_out(access: Path, tmp_path: Path, fields: dict[str, str], said: str) -> None:
    done = run(changed(access, tmp_path, **fields), "--", "true")
    assert done.returncode == 1
    assert said in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1


def test_bad_usage_is_one_line(access: Path, tmp_path: Path) -> None:
    for done in (run(access), run(access, "--nope"), run(tmp_path / "none.toml", "--", "true")):
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
