"""What a command without a container used is told, however short it was."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.model import Attempt, Spec
from tests.e2e.home import Home, home

MIB = 1 << 20
WRITES = 'dd if=/dev/zero of="$OUTPUT/x" bs=1M count=50 conv=fsync'


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with home(tmp_path_factory.mktemp("h") / "h") as one:
        yield one


def run(mesh: Home, script: str, **fields: object) -> Attempt:
    with mesh.client() as client:
        (number,) = client.submit_many([Spec(command=("sh", "-c", script), **fields)])  # type: ignore[arg-type]
        client.wait([number], timeout=50)
        return list(client.attempts([number]))[-1]


@pytest.mark.parametrize("end", ["", "; exit 3", "; kill -9 $$"])
def test_what_is_written_is_told_whatever_the_end(mesh: Home, end: str) -> None:
    found = run(mesh, WRITES + end)

    assert found.status == ("failed" if end else "succeeded")
    assert 50 * MIB <= found.written_bytes < 52 * MIB
    assert 50 * MIB <= found.peak_disk < 51 * MIB


def test_who_wrote_may_have_left_the_one_that_is_waited_for(mesh: Home) -> None:
    script = f"(setsid sh -c '{WRITES}; touch done' &); until test -e done; do sleep 0.05; done"
    found = run(mesh, script)

    assert 50 * MIB <= found.written_bytes < 52 * MIB


def test_inputs_take_room_and_resources_do_not(mesh: Home, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(os.urandom(3 * MIB))
    (tmp_path / "db").write_bytes(os.urandom(20 * MIB))
    found = run(mesh, WRITES, inputs=(f"{tmp_path}/in",), resources=(f"{tmp_path}/db",), output=f"{tmp_path}/out/")

    assert found.status == "succeeded"
    assert 53 * MIB <= found.peak_disk < 54 * MIB


def test_what_used_nothing_tells_so(mesh: Home) -> None:
    found = run(mesh, "true")

    assert (found.peak_disk, found.written_bytes) == (0, 0)
