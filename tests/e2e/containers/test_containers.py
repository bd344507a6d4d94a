"""Tasks in containers of a real docker engine, from the specification to the end."""

import os
from pathlib import Path

import pytest

from scitq.node.containers.clearing import clear
from scitq.node.containers.presence import Presence
from scitq.node.crew import Crew
from tests.e2e.containers.kit import output, run, task
from tests.e2e.home import SLOTS, Home, until
from tests.integration.mesh import broker
from tests.integration.worker import worker
from tests.servers.dockerd import Dockerd


def test_a_command_runs_in_its_container(house: Home) -> None:
    end, out, err = run(house, task("sh", "-c", "echo hello; echo trouble >&2; exit 3"))

    assert (end.status, end.class_, end.exit_code) == ("failed", "exit", 3)
    assert (out, err) == ("hello\n", "trouble\n")


def test_words_and_variables_arrive_as_they_were_given(house: Home) -> None:
    words = ["a b", "", "*", "$HOME", "日本", "-x", "--rm=false", "line\nline"]
    env = {"A": "b=c 'd' \"e\"", "EMPTY": ""}
    _, out, _ = run(
        house, task("sh", "-c", 'printf "%s|" "$@"; printf "%s|" "$A" "$EMPTY" "$CPU"', "x", *words, env=env)
    )

    cpus = max(1, min(SLOTS, len(os.sched_getaffinity(0))) // 2)
    assert out.split("|") == [*words, *env.values(), str(cpus), ""]


def test_inputs_resources_results_and_scratch_have_their_places(house: Home, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("input\n")
    (tmp_path / "db.txt").write_text("resource\n")
    script = (
        "cat /input/in.txt /resource/db.txt; touch /resource/x; echo result > /output/r; echo scratch > /tmp/s; pwd"
    )
    end, out, err = run(
        house,
        task(
            "sh", "-c", script,
            inputs=(f"{tmp_path}/in.txt",), resources=(f"{tmp_path}/db.txt",), output=f"{tmp_path}/results",
        ),
    )  # fmt: skip

    assert end.status == "succeeded"
    assert out == "input\nresource\n/\n"
    assert "Read-only file system" in err
    assert (tmp_path / "results" / "r").read_text() == "result\n"
    until(lambda: not list((house.paths.scratch / "tasks").iterdir()), "its folder is removed")


def test_an_image_may_bring_its_own_command(house: Home, docker: Dockerd) -> None:
    docker.add_image("bare:1", 'ENTRYPOINT ["echo", "from the image"]', 'CMD ["by itself"]')

    assert run(house, task(container="bare:1"))[1] == "from the image by itself\n"
    assert run(house, task("--opt", container="bare:1"))[1] == "from the image --opt\n"


def test_options_reach_docker(house: Home) -> None:
    end, out, _ = run(house, task("hostname", container_options="--rm --hostname 'myhost' -e A=1"))

    assert (end.status, out) == ("succeeded", "myhost\n")


def test_a_terminal_is_one_stream(house: Home) -> None:
    end, out, err = run(house, task("sh", "-c", "test -t 1 && echo yes; echo no >&2", container_options="-it"))

    assert (end.status, out, err) == ("succeeded", "yes\r\nno\r\n", "")


@pytest.mark.parametrize(
    ("options", "command", "told"),
    [
        ("--nonsense", "true", "unknown flag: --nonsense"),
        ("--rm alpine", "true", "holds a word that is no option"),
        ("--rm -e", "true", "option without value"),
        ("", "/nowhere/program", "no such file or directory"),
    ],
)
def test_what_cannot_start_says_why(house: Home, options: str, command: str, told: str) -> None:
    end, _, _ = run(house, task(command, container_options=options))

    assert (end.status, end.class_) == ("failed", "exit")
    assert told in end.reason


@pytest.mark.parametrize(
    ("uid", "gid", "told"),
    [(1234, None, "1234:1234"), (None, 77, "0:77"), (1234, 77, "1234:77"), (None, None, "0:0")],
)
def test_users_are_numbers(house: Home, tmp_path: Path, uid: int | None, gid: int | None, told: str) -> None:
    script = "echo $(id -u):$(id -g); touch /output/a /tmp/b /input/c; mkdir -p /output/d/e; touch /output/d/e/f"
    end, out, err = run(house, task("sh", "-c", script, uid=uid, gid=gid, output=f"{tmp_path}/results"))

    assert (end.status, out, err) == ("succeeded", f"{told}\n", "")
    assert (tmp_path / "results/d/e/f").exists()
    until(lambda: not list((house.paths.scratch / "tasks").iterdir()), "its folder is removed")


def test_the_user_of_an_image_may_write_too(house: Home, docker: Dockerd) -> None:
    docker.add_image("plain:1", "USER 4321:55")
    end, out, err = run(house, task("sh", "-c", "id -u; touch /output/a /tmp/b", container="plain:1"))
    assert (end.status, out, err) == ("succeeded", "4321\n", "")

    assert run(house, task("sh", "-c", "echo $(id -u):$(id -g)", container="plain:1", gid=66))[1] == "4321:66\n"


def test_a_container_out_of_memory_says_so(house: Home) -> None:
    end, _, _ = run(house, task("sh", "-c", "tail /dev/zero", container_options="-m 16m --memory-swap 16m"))

    assert (end.class_, end.exit_code) == ("oom", 137)


def test_a_timeout_ends_it(house: Home) -> None:
    end, _, _ = run(house, task("sh", "-c", "trap 'exit 5' TERM; sleep 60 & wait", run_timeout=0.5))

    assert (end.class_, end.exit_code) == ("timeout", 5)


def test_what_was_cancelled_ends(house: Home) -> None:
    with house.client() as client:
        (number,) = client.submit_many([task("sleep", "600")])
        until(lambda: next(iter(client.tasks([number]))).status == "running", "it runs")
        client.cancel([number])
        (end,) = client.wait([number], timeout=30)

    assert (end.status, end.class_) == ("cancelled", "cancelled")


def test_a_batch_suspended_stands_still(house: Home, docker: Dockerd) -> None:
    with house.client() as client:
        (number,) = client.submit_many([task("sh", "-c", "sleep 1; echo over")])
        until(lambda: next(iter(client.tasks([number]))).status == "running", "it runs")
        client.batch_stop("Default", "suspend")
        until(lambda: "(Paused)" in docker.docker("ps", "-a"), "it is paused")
        client.batch_go("Default")
        client.wait([number], timeout=30)
        (attempt,) = client.attempts([number])

    assert attempt.status == "succeeded"
    assert attempt.suspended_seconds > 0


def test_output_is_followed_while_it_comes(house: Home, tmp_path: Path) -> None:
    go = tmp_path / "input"
    go.mkdir()
    with house.client() as client:
        script = "echo first; until test -e /go/now; do sleep 0.05; done; echo second"
        (number,) = client.submit_many([task("sh", "-c", script, container_options=f"-v {go}:/go")])
        parts = client.output(number, follow=True)
        assert next(parts) == ("stdout", b"first\n")
        (go / "now").touch()
        assert list(parts) == [("stdout", b"second\n")]


def test_long_output_keeps_head_and_tail(house: Home) -> None:
    end, out, err = run(house, task("sh", "-c", "seq 100000; seq 5 >&2", log_limit=20_000))

    whole = "".join(f"{number}\n" for number in range(1, 100_001))
    assert end.stdout.total == len(whole)
    assert out.startswith(whole[:10_000])
    assert out.endswith(whole[-10_000:])
    assert err == "1\n2\n3\n4\n5\n"


def test_many_short_ones_leave_nothing(house: Home, docker: Dockerd) -> None:
    with house.client() as client:
        numbers = client.submit_many([task("sh", "-c", f"echo {n}") for n in range(20)])
        ends = client.wait(numbers, timeout=55)
        assert {end.status for end in ends} == {"succeeded"}
        assert [output(client, number)[0] for number in numbers] == [f"{n}\n" for n in range(20)]
    until(lambda: not docker.containers(), "the containers are removed")
    rooms = [house.paths.scratch / room for room in ("tasks", "containers", "outbox")]
    until(lambda: not [file for room in rooms for file in room.iterdir()], "the folders are empty")


def test_what_was_used_is_measured(house: Home) -> None:
    end, _, _ = run(house, task("sh", "-c", "timeout 3 sh -c 'while :; do :; done'; true"))

    assert end.cpu_seconds > 0.5
    assert end.peak_memory > 100_000


def test_what_workers_share_is_data(docker: Dockerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nfs = tmp_path / "nfs"
    nfs.mkdir()
    (nfs / "in.txt").write_text("shared\n")
    monkeypatch.setenv("DOCKER_HOST", docker.host)
    script = "cat /input/in.txt /data/in.txt; echo more > /data/new; echo result > /output/r"
    spec = task("sh", "-c", script, inputs=("file:///data/in.txt",), output="file:///data/results/")
    with (
        broker(tmp_path) as process,
        worker(process.address, tmp_path / "scratch", data=str(nfs)),
        process.client() as client,
    ):
        (number,) = client.submit_many([spec])
        (end,) = client.wait([number], timeout=50)
        assert (end.status, output(client, number)) == ("succeeded", ("shared\nshared\n", ""))
        until(lambda: not docker.containers(), "no container is left")
    assert (nfs / "new").read_text() == "more\n"
    assert (nfs / "results" / "r").read_text() == "result\n"


def test_what_another_user_wrote_is_removed_by_a_container(
    docker: Dockerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker.host)
    (tmp_path / "tasks/1.1/output/deep").mkdir(parents=True)
    (tmp_path / "tasks/1.1/output/deep/file").write_text("x")
    (tmp_path / "tasks/2.1").mkdir()
    clear(Presence(Crew()), {"scitq.mesh": "m"}, f"{tmp_path}/tasks/1.1")
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == ["2.1"]
    assert docker.containers() == []
