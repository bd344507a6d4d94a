"""What a task asks of its worker is what docker holds its container to."""

import json

from tests.e2e.containers.kit import output, run, task
from tests.e2e.home import Home, until
from tests.servers.dockerd import Dockerd

MEM = 64 << 20


def test_a_container_has_what_its_task_asked_for(house: Home, docker: Dockerd) -> None:
    with house.client() as client:
        (number,) = client.submit_many([task("sh", "-c", "echo $CPU $MEM; sleep 600", cpu=0.5, mem=MEM)])
        until(lambda: output(client, number)[0], "it runs")
        assert output(client, number)[0] == f"1 {MEM}\n"
        (name,) = docker.containers()
        given = json.loads(docker.docker("inspect", "--format", "{{json .HostConfig}}", name))
        assert (given["NanoCpus"], given["Memory"], given["MemorySwap"]) == (500_000_000, MEM, MEM)
        client.cancel([number])


def test_a_container_that_passes_its_memory_is_ended_for_that(house: Home) -> None:
    end, _, _ = run(house, task("dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1", mem=MEM))
    assert end.class_ == "oom"
    assert end.reason.endswith("(--mem)")
    assert run(house, task("dd", "if=/dev/zero", "of=/dev/null", "bs=20M", "count=1", mem=MEM))[0].exit_code == 0
