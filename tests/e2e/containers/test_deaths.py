"""The agent and the engine may go at any moment: no end is lost, none is invented, nothing is left over."""

import signal
import time

import pytest

from scitq.model import Attempt
from tests.e2e.containers.kit import output, task
from tests.e2e.home import SLOTS, Home, until
from tests.servers.counting_http import counting_http
from tests.servers.dockerd import Dockerd


def attempts(house: Home, number: int) -> list[Attempt]:
    with house.client() as client:
        return list(client.attempts([number]))


def runs(house: Home, number: int) -> None:
    with house.client() as client:
        until(lambda: next(iter(client.tasks([number]))).status == "running", "it runs")


def test_an_agent_that_dies_loses_neither_the_end_nor_a_line(house: Home, docker: Dockerd) -> None:
    script = "for n in $(seq 300); do echo line $n; echo trouble $n >&2; sleep 0.01; done; exit 7"
    with house.client() as client:
        (number,) = client.submit_many([task("sh", "-c", script)])
        parts = client.output(number, follow=True, stream="stdout")
        next(parts)
        house.kill_and_restart(house.worker)
        (end,) = client.wait([number], timeout=50)
        assert (end.status, end.class_, end.exit_code, end.attempt) == ("failed", "exit", 7, 1)
        assert output(client, number) == (
            "".join(f"line {n}\n" for n in range(1, 301)),
            "".join(f"trouble {n}\n" for n in range(1, 301)),
        )


def test_what_ended_while_there_was_no_agent_is_told_by_the_next(house: Home, docker: Dockerd) -> None:
    with house.client() as client:
        (number,) = client.submit_many([task("sh", "-c", "echo first; sleep 1; seq 50000; exit 3")])
        runs(house, number)
        house.kill(house.worker)
        until(lambda: "Exited (3)" in docker.docker("ps", "-a"), "it has ended")
        house.scitq("up")
        (end,) = client.wait([number], timeout=50)
        assert (end.exit_code, end.attempt) == (3, 1)
        assert output(client, number)[0] == "first\n" + "".join(f"{n}\n" for n in range(1, 50_001))


def test_a_long_log_goes_on_after_the_head_was_written(house: Home) -> None:
    script = "seq 20000; sleep 2; seq 20001 30000"
    with house.client() as client:
        (number,) = client.submit_many([task("sh", "-c", script, log_limit=50_000)])
        runs(house, number)
        time.sleep(0.5)
        house.kill_and_restart(house.worker)
        client.wait([number], timeout=50)
        whole = "".join(f"{n}\n" for n in range(1, 30_001))
        assert output(client, number)[0] == whole[:25_000] + whole[-25_000:]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_end_by_the_engine_is_lost_and_run_again(house: Home, docker: Dockerd, number: signal.Signals) -> None:
    with house.client() as client:
        (one,) = client.submit_many([task("sh", "-c", "trap 'exit 0' TERM; sleep 3 & wait; echo over")])
        runs(house, one)
        docker.signal(number)
        docker.start()
        (end,) = client.wait([one], timeout=50)

    first, *_, last = attempts(house, one)
    assert (first.class_, first.exit_code) == ("lost", None)
    assert "engine" in first.reason
    assert (end.status, last.status, last.exit_code) == ("succeeded", "succeeded", 0)


def test_an_end_by_the_engine_is_lost_though_no_agent_saw_it(house: Home, docker: Dockerd) -> None:
    with house.client() as client:
        (one,) = client.submit_many([task("sh", "-c", "trap 'exit 0' TERM; sleep 3 & wait; echo over")])
        runs(house, one)
        house.kill(house.worker)
        docker.signal(signal.SIGTERM)
        docker.start()
        house.scitq("up")
        client.wait([one], timeout=50)

    assert [attempt.class_ for attempt in attempts(house, one)] == ["lost", ""]


def test_without_its_engine_a_worker_is_given_no_container(house: Home, docker: Dockerd) -> None:
    with house.client() as client:
        until(lambda: client.workers()[0].engine.startswith("docker "), "it says what it has")
        docker.kill()
        (number,) = client.submit_many([task("true")])
        until(lambda: not client.workers()[0].engine or attempts(house, number), "it has noticed")
        (plain,) = client.submit_many([task("true", container="")])
        assert client.wait([plain], timeout=30)[0].status == "succeeded"
        until(lambda: not client.workers()[0].engine, "it says that it has none")
        assert any("container engine" in line for line in client.explain(number))
        docker.start()
        assert client.wait([number], timeout=50)[0].status == "succeeded"


def test_what_has_not_started_is_given_back_when_the_engine_stays_away(house: Home, docker: Dockerd) -> None:
    """One comes still, one waits for a slot; what runs stays with its worker, and what needs no engine too."""
    with house.client() as client, counting_http() as source:
        source.files["/x"], source.slow_after = bytes(1 << 20), 0
        uri = f"{source.url}/x"
        client.worker_update(client.workers()[0].name, prefetch=4)
        running = client.submit_many([task("sleep", "600")] * SLOTS)
        for number in running:
            runs(house, number)
        (comes, waits, plain) = client.submit_many(
            [task("true", inputs=(uri,)), task("true"), task("true", container="", inputs=(uri,))]
        )

        def status(number: int) -> str:
            return next(iter(client.tasks([number]))).status

        until(lambda: {status(one) for one in (comes, waits, plain)} == {"staging"}, "all are with the worker")
        docker.kill()
        until(lambda: {status(one) for one in (comes, waits)} == {"pending"}, "they are given back")
        assert [status(number) for number in running] == ["running"] * SLOTS
        assert status(plain) == "staging"
        assert not attempts(house, comes), "no attempt was spent"
        assert any("container engine" in line for line in client.explain(comes))

        source.slow_after = None
        docker.start()
        client.cancel(running)
        ends = client.wait([comes, waits, plain], timeout=50)
        assert {end.status for end in ends} == {"succeeded"}


def test_what_an_earlier_worker_left_is_removed_and_what_others_made_is_not(house: Home, docker: Dockerd) -> None:
    with house.client() as client:
        (number,) = client.submit_many([task("sleep", "600")])
        runs(house, number)
        house.kill(house.worker)
        (house.paths.scratch / "worker.toml").unlink()
        for file in (house.paths.scratch / "containers").iterdir():
            file.unlink()
        (name,) = docker.containers()
        docker.docker("create", "--name", "other", "--label", "scitq.mesh=another", "tiny:1", "true")
        house.scitq("up")
        until(lambda: docker.containers() == ["other"], f"{name} is removed, and nothing else")
        docker.docker("rm", "other")
        client.cancel([number])
