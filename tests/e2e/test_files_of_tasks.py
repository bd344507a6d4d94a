"""Tasks that share a resource and have inputs, while the worker's program is killed again and again."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.home import Home, home
from tests.integration.mesh import until
from tests.servers.counting_http import CountingServer, counting_http

TASKS = 30
KILLS = 4


@pytest.fixture
def source() -> Iterator[CountingServer]:
    with counting_http() as server:
        yield server


@pytest.fixture
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with home(tmp_path_factory.mktemp("h") / "h") as one:
        yield one


def test_under_kills_all_see_whole_files_and_nothing_is_left_in_use(mesh: Home, source: CountingServer) -> None:
    database, reads = os.urandom(3 << 20), os.urandom(1 << 20)
    source.files.update({"/db": database, **{f"/reads{number}": reads for number in range(TASKS)}})
    source.slow_after = 512 * 1024
    uri = f"{source.url}/db"
    script = 'sha256sum < "$RESOURCE/db"; cat "$INPUT"/* | sha256sum; sleep 0.2'
    with mesh.client() as client:
        ids = [
            client.submit(["sh", "-c", script], resources=[uri], inputs=[f"{source.url}/reads{number}"])
            for number in range(TASKS)
        ]
        for _ in range(KILLS):
            before = source.sent
            until(lambda before=before: source.sent > before, "something comes")  # type: ignore[misc]
            mesh.kill_and_restart(mesh.worker)
        source.slow_after = None

        ends = {end.task: end for end in client.wait(ids, timeout=120)}
        assert [ends[task].reason for task in ids if ends[task].status != "succeeded"] == []
        printed = {b"".join(data for _, data in client.output(task)) for task in ids}
        assert printed == {"".join(f"{hashlib.sha256(what).hexdigest()}  -\n" for what in (database, reads)).encode()}
        (worker,) = client.workers()
        until(lambda: [one.in_use for one in client.worker_resources(worker.name)] == [0], "nobody uses it any more")
        (one,) = client.worker_resources(worker.name)
        assert (one.uri, one.status, one.size) == (uri, "here", len(database))

    scratch = Path(mesh.environment["XDG_DATA_HOME"])
    assert not list(scratch.rglob("*.coming"))
    until(lambda: not list(scratch.rglob("tasks/*/input/*")), "all folders are gone")
    mesh.leaves_nothing()
