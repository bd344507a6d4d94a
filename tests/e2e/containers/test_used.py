"""What a container used is told however short it was, and nothing that was made to count it is left."""

import signal
import subprocess
import uuid
from pathlib import Path

import pytest

from scitq.node.containers import groups
from scitq.node.containers.strays import remove_strays
from scitq.node.containers.words import Owner
from tests.e2e.containers.kit import control_groups, run, task
from tests.e2e.home import Home, until
from tests.engines import lent
from tests.servers.dockerd import TINY, Dockerd, started
from tests.servers.podman import Podman

MIB = 1 << 20
TRIES = 5  # where the machine has much else to do, whoever could tell what was written may be gone before it is asked
HOLDS = "head -c 104857600 /dev/zero | tail -c 104857600 > /dev/null"  # tail keeps all of it until the end
WRITES = "dd if=/dev/zero of=/output/x bs=1M count=50 conv=fsync"
BUSY = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done"


def tell_what_they_used(house: Home) -> None:
    held, _, _ = run(house, task("sh", "-c", HOLDS))
    busy, _, _ = run(house, task("sh", "-c", BUSY))
    for _ in range(TRIES):
        wrote, _, _ = run(house, task("sh", "-c", WRITES))
        if wrote.written_bytes:
            break

    assert [end.status for end in (held, busy, wrote)] == ["succeeded"] * 3
    assert 95 * MIB <= held.peak_memory < 150 * MIB
    assert 50 * MIB <= wrote.written_bytes < 60 * MIB
    assert 50 * MIB <= wrote.peak_disk < 51 * MIB
    assert wrote.peak_memory < 30 * MIB, "the files that it wrote are no memory that it needs"
    assert held.written_bytes < MIB
    assert held.peak_disk == 0
    assert busy.cpu_seconds > 0.01


def test_short_containers_tell_what_they_used(house: Home) -> None:
    tell_what_they_used(house)


def test_containers_of_podman_tell_it_too(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if reason := Podman.cannot_start():
        pytest.skip(reason)
    lent(request)
    (tmp_path / "home").mkdir()
    with started(Podman) as engine:
        house = Home(tmp_path / "home")
        house.environment["DOCKER_HOST"] = engine.host
        try:
            house.scitq("up")
            tell_what_they_used(house)
            until(lambda: not control_groups(house), "no control group is left")
        finally:
            house.clear()


def test_what_an_agent_that_was_killed_left_is_read_and_removed_by_the_next(house: Home) -> None:
    with house.client() as client:
        (number,) = client.submit_many([task("sh", "-c", f"{HOLDS}; {BUSY}; sleep 2")])
        until(lambda: next(iter(client.tasks([number]))).status == "running", "it runs")
        house.kill_and_restart(house.worker)
        (end,) = client.wait([number], timeout=50)
        assert end.status == "succeeded"
        assert list(client.attempts([number]))[-1].peak_memory >= 95 * MIB


@pytest.mark.parametrize("theirs", ["", "another"])
def test_a_stray_goes_with_its_group(docker: Dockerd, monkeypatch: pytest.MonkeyPatch, theirs: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker.host)
    from scitq.node.containers.finding import probe

    engine = probe()
    assert engine is not None
    owner = Owner("m", str(uuid.uuid4()), "/s")
    other = owner._replace(worker=theirs or owner.worker)
    words = [word for pair in other.labels("1.1").items() for word in ("--label", "=".join(pair))]
    engine.create(
        ["create", "--name", other.name("1.1"), "--cgroup-parent", other.group("1.1"), *words, TINY, "sleep", "60"]
    )
    engine.start(other.name("1.1"))
    docker.docker("run", "--rm", "--cgroup-parent", owner.group("2.1"), TINY, "true")
    docker.docker("run", "--rm", "--cgroup-parent", owner.group("3.1"), TINY, "true")
    made = {other.group("1.1"), owner.group("2.1"), owner.group("3.1")}
    assert {group for group in made if groups.counted(group)} == made
    try:
        remove_strays(engine, owner, lambda: {owner.name("3.1")})
        assert {group for group in made if groups.left_over(group)} == {owner.group("3.1")}
    finally:
        groups.remove(owner.group("3.1"))


def test_who_is_left_in_the_group_of_a_container_that_is_gone_is_ended(docker: Dockerd) -> None:
    group = Owner("m", str(uuid.uuid4()), "/s").group("1.1")
    docker.docker("run", "--rm", "--cgroup-parent", group, TINY, "true")
    where = groups.mounts()
    folder = Path(f"{where.get('memory') or where['']}{group}/left")
    folder.mkdir()
    with subprocess.Popen(["sleep", "600"]) as left:
        try:
            (folder / "cgroup.procs").write_text(str(left.pid))
            groups.clear(group)
            assert left.wait(10) == -signal.SIGKILL
        finally:
            left.kill()
    assert not groups.left_over(group)
