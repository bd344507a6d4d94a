"""The command line with a real broker and a real worker behind it."""

import json
import os
import select
import signal
from collections.abc import Iterator

import pytest

from scitq.model import Task
from tests.integration.home import DEADLINE, Home


@pytest.fixture
def home() -> Iterator[Home]:
    """A home that nobody has used."""
    fresh = Home()
    yield fresh
    fresh.close()


@pytest.fixture(scope="module")
def mesh() -> Iterator[Home]:
    """A home whose local mesh is up."""
    used = Home()
    assert used.scitq("up").code == 0
    yield used
    used.close()


# ---------------------------------------------------------------------------- up, down, status


def test_twenty_launches_at_once_make_one_mesh(home: Home) -> None:
    processes = [home.start("launch", "sh", "-c", f"echo {number}") for number in range(20)]
    done = [process.communicate(timeout=DEADLINE) for process in processes]

    assert [process.returncode for process in processes] == [0] * 20
    ids = sorted(int(out.split(b": ")[1]) for out, _ in done)
    assert ids == list(range(1, 21))
    assert sum(b"starting a local mesh" in err for _, err in done) == 1
    assert home.scitq("manage", "task", "wait", "1-20").out.endswith("20 tasks: 20 succeeded\n")
    outputs = [home.scitq("manage", "task", "output", str(task)).out for task in (1, 20)]
    assert all(output.strip().isdigit() for output in outputs)
    assert home.scitq("broker", "journal").out.count('"BrokerStarted"') == 1
    assert len(json.loads(home.scitq("manage", "worker", "list", "--json").out)) == 1


def test_up_status_down(home: Home) -> None:
    before = home.scitq("status")
    assert (before.code, before.out) == (1, "")
    assert before.err.startswith("scitq: no local mesh runs in ")
    assert home.scitq("down").out.startswith("no local mesh runs in ")
    assert not (home.folder / "state").exists()  # looking makes nothing

    assert home.scitq("up").code == 0
    again = home.scitq("up")
    assert (again.code, again.err) == (0, "")
    (status,) = json.loads(home.scitq("status", "--json").out)
    assert status["workers"] == {"online": 1}

    assert home.scitq("down").code == 0
    assert home.scitq("status").code == 1


def test_what_runs_outlives_the_mesh(home: Home) -> None:
    marker = home.folder / "go"
    task = home.launch("sh", "-c", f"echo begun; while [ ! -e {marker} ]; do sleep 0.05; done; echo done")
    with home.start("manage", "task", "output", "-f", str(task)) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"begun\n"
        follower.terminate()

    down = home.scitq("down")
    assert "1 task still running" in down.out
    marker.touch()
    assert home.scitq("up").code == 0

    assert home.scitq("manage", "task", "wait", str(task)).out.startswith(f"task {task} succeeded\n")
    assert home.scitq("manage", "task", "output", str(task)).out == "begun\ndone\n"
    (attempt,) = json.loads(home.scitq("manage", "attempt", "list", "--json", str(task)).out)
    assert attempt["attempt"] == 1


def test_a_folder_that_is_something_else_is_left_alone(home: Home) -> None:
    strange = home.folder / "documents"
    strange.mkdir()
    (strange / "thesis.txt").touch()

    done = home.scitq("up", "--state", os.fspath(strange))

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"scitq: {strange} is not a state folder")
    assert os.listdir(strange) == ["thesis.txt"]


def test_a_broker_that_does_not_start_says_why(home: Home) -> None:
    state = home.folder / "broken"
    (state / "journal").mkdir(parents=True)
    (state / "logs").touch()

    done = home.scitq("launch", "--state", os.fspath(state), "true")

    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith("scitq: the broker did not start: ")
    assert "broker.log)" in done.err


# ---------------------------------------------------------------------------- launch --wait


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        (["true"], 0, None),
        (["sh", "-c", "exit 3"], 3, "failed: exit code 3"),
        (["sh", "-c", "kill -9 $$"], 137, "failed: killed by SIGKILL"),
        (["no-such-program"], 1, "failed: no program no-such-program"),
        (["--run-timeout", "0.2", "sleep", "60"], 143, "failed: "),
        (["--retry", "1", "sh", "-c", "exit 4"], 4, "failed: exit code 4"),
    ],
)
def test_wait_exits_as_the_command_did(mesh: Home, command: list[str], code: int, told: str | None) -> None:
    done = mesh.scitq("launch", "--wait", *command)

    assert (done.code, done.out) == (code, "")
    queued, *rest = done.err.splitlines()
    assert queued.startswith("Task queued with task id: ")
    assert len(rest) == (1 if told else 0)
    assert (told or "") in done.err


def test_wait_carries_both_streams_as_bytes(mesh: Home) -> None:
    with mesh.start("launch", "--wait", "printf", "%s", b"\xff\x00"[:1] + b"\x1b") as process:
        out, _ = process.communicate(timeout=DEADLINE)
    assert out == b"\xff\x1b"

    with mesh.start("launch", "--wait", "sh", "-c", r"printf 'a\000\377'; printf 'b\001' >&2; exit 1") as process:
        out, err = process.communicate(timeout=DEADLINE)
    assert out == b"a\0\xff"
    assert err.splitlines()[1].startswith(b"b\x01")


def test_wait_shows_every_attempt(mesh: Home) -> None:
    done = mesh.scitq("launch", "--wait", "--retry", "2", "sh", "-c", "echo tried; exit 1")

    assert (done.code, done.out) == (1, "tried\n" * 3)


def test_wait_and_json_print_the_task_alone(mesh: Home) -> None:
    done = mesh.scitq("launch", "--wait", "--json", "sh", "-c", "echo not seen; exit 5")

    assert done.code == 5
    (task,) = json.loads(done.out)
    assert (task["status"], task["exit_code"], task["class"]) == ("failed", 5, "exit")
    assert set(task) == {name.rstrip("_") for name in Task.__struct_fields__}


def test_an_interrupt_detaches(mesh: Home) -> None:
    with mesh.start("launch", "--wait", "sh", "-c", "echo begun; sleep 600") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert select.select([process.stdout], [], [], DEADLINE)[0]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=DEADLINE)
    queued, told = err.decode().splitlines()
    task = queued.split(": ")[1]

    assert process.returncode == 130
    assert told.startswith(f"scitq: detached: task {task} goes on.")
    (found,) = json.loads(mesh.scitq("manage", "task", "show", "--json", task).out)
    assert found["status"] == "running"
    assert f"scitq manage task cancel {task}" in told
    assert mesh.scitq("manage", "task", "cancel", task) == (0, "1 task cancelled\n", "")
    assert mesh.scitq("manage", "task", "wait", task).out.startswith(f"task {task} cancelled")


# ---------------------------------------------------------------------------- manage


def test_launch_says_the_id_and_nothing_else(mesh: Home) -> None:
    done = mesh.scitq("launch", "true")

    assert done.code == 0
    assert done.err == ""
    word, number = done.out.rsplit(" ", 1)
    assert word == "Task queued with task id:"
    assert number.rstrip("\n").isdigit()


def test_output_of_a_task(mesh: Home) -> None:
    task = str(mesh.launch("-n", "talker", "sh", "-c", "echo out; echo err >&2"))
    followed = mesh.scitq("manage", "task", "output", "-f", task)

    assert followed == (0, "out\n", "err\n")
    assert mesh.scitq("manage", "task", "output", "-n", "talker") == (0, "out\n", "err\n")
    assert mesh.scitq("manage", "task", "output", "-o", task) == (0, "out\n", "")
    assert mesh.scitq("manage", "task", "output", "-e", task) == (0, "err\n", "")
    assert json.loads(mesh.scitq("manage", "task", "output", "--json", task).out) == [
        {"task": int(task), "attempt": 1, "stdout": "out\n", "stderr": "err\n"}
    ]


def test_wait_for_tasks_tells_each_end(mesh: Home) -> None:
    good, bad = mesh.launch("-b", "pair", "true"), mesh.launch("-b", "pair", "false")

    done = mesh.scitq("manage", "task", "wait", f"{good}-{bad}")
    assert done.code == 1
    lines = done.out.splitlines()
    assert sorted(lines[:2]) == [f"task {good} succeeded", f"task {bad} failed: exit code 1"]
    assert lines[2] == "2 tasks: 1 succeeded, 1 failed"
    assert mesh.scitq("manage", "batch", "wait", "pair").code == 1
    assert mesh.scitq("manage", "task", "wait", str(good)).code == 0
    listed = json.loads(mesh.scitq("manage", "task", "wait", "-b", "pair", "--json").out)
    assert [(task["id"], task["status"]) for task in listed] == [(good, "succeeded"), (bad, "failed")]


def test_relaunch_with_another_command(mesh: Home) -> None:
    task = str(mesh.launch("false"))
    mesh.scitq("manage", "task", "wait", task)

    assert mesh.scitq("manage", "task", "relaunch", task, "--", "echo", "-n", "better").code == 0
    assert mesh.scitq("manage", "task", "wait", task).code == 0
    assert mesh.scitq("manage", "task", "output", task).out == "better"


def test_a_stopped_batch_holds_its_tasks(mesh: Home) -> None:
    mesh.scitq("manage", "task", "wait", str(mesh.launch("-b", "held", "true")))
    assert mesh.scitq("manage", "batch", "stop", "held").code == 0
    launched = mesh.scitq("launch", "-b", "held", "-n", "old", "false")
    task = launched.out.split(": ")[1].strip()

    assert "scitq manage batch go" in launched.err
    assert "stopped" in mesh.scitq("manage", "task", "explain", task).out
    assert mesh.scitq("manage", "task", "update", task, "-N", "new", "--priority", "7", "--", "true").code == 0
    (shown,) = json.loads(mesh.scitq("manage", "task", "show", "--json", task).out)
    assert (shown["name"], shown["priority"], shown["command"], shown["attempts"]) == ("new", 7, ["true"], [])
    assert mesh.scitq("manage", "batch", "go", "held").code == 0
    assert mesh.scitq("manage", "task", "wait", task).code == 0
    assert mesh.scitq("manage", "batch", "delete", "held").out == "batch held deleted: 2 tasks forgotten\n"
    assert mesh.scitq("manage", "task", "show", task).code == 1


def test_a_worker_is_changed_while_it_works(mesh: Home) -> None:
    def worker() -> dict[str, object]:
        (found,) = json.loads(mesh.scitq("manage", "worker", "list", "--json").out)
        return dict(found)

    name = str(worker()["name"])
    assert mesh.scitq("manage", "worker", "update", name, "-C", "3", "-p", "1").code == 0
    assert (worker()["concurrency"], worker()["prefetch"]) == (3, 1)
    assert mesh.scitq("manage", "worker", "pause", "-n", name).code == 0
    assert worker()["paused"] is True
    assert mesh.scitq("manage", "worker", "resume", name).code == 0
    assert worker()["paused"] is False


def test_output_of_which_nothing_was_to_be_kept_is_said(mesh: Home) -> None:
    waited = mesh.scitq("launch", "--wait", "--log-limit", "0", "-g", str(os.getgid()), "echo", "gone")
    task = waited.err.split("\n")[0].rpartition(" ")[2]
    read = mesh.scitq("manage", "task", "output", task)

    assert waited.code == 0
    assert (read.out, read.err) == (
        "",
        "scitq: 5 B of stdout were not kept here: a larger --log-limit would keep more\n",
    )
    shown = mesh.scitq("manage", "task", "show", task).out
    assert "  log_limit          0 B\n" in shown
    assert f"  gid                {os.getgid()}\n" in shown


def test_a_list_shows_every_word(mesh: Home) -> None:
    word = "x" * 300
    task = mesh.launch("-b", "shown", "echo", word, "a\x1bb")

    out = mesh.scitq("manage", "task", "list", "-b", "shown").out
    header, row = out.splitlines()
    assert header.split()[:4] == ["id", "name", "batch", "status"]
    assert row.endswith(f"echo {word} $'a\\x1bb'")
    assert mesh.scitq("manage", "task", "list", "-H", str(task)).out.count("\n") == 1
    assert json.loads(mesh.scitq("manage", "task", "list", "-b", "shown", "-S", "waiting", "--json").out) == []


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["manage", "task", "show", "9999"], 1, "there is no task 9999"),
        (["manage", "task", "output", "9999"], 1, "there is no task 9999"),
        (["manage", "task", "wait", "9999"], 1, "there is no task 9999"),
        (["manage", "task", "cancel", "9999"], 1, "there is no task 9999"),
        (["manage", "task", "list", "-b", "nobatch"], 1, "there is no batch nobatch"),
        (["manage", "task", "wait", "-b", "nobatch"], 1, "there is no batch nobatch"),
        (["manage", "batch", "stop", "nobatch"], 1, "there is no batch nobatch"),
        (["manage", "worker", "pause", "noworker"], 1, "there is no worker noworker"),
        (["manage", "task", "show", "-n", "noname"], 1, "no task of name noname"),
        (["launch", "-R", "9999", "true"], 1, "it requires task 9999, which does not exist"),
        (["launch", "-b", "*", "true"], 2, "'*' is no name for a batch"),
        (["manage", "task", "cancel"], 2, "which tasks?"),
        (["manage", "task", "update", "1"], 2, "nothing to change"),
        (["manage", "batch", "stop", "--kill", "--term", "x"], 2, "--term and --kill: give one of them"),
        (["manage", "task", "list", "-S", "done"], 2, "-S/--status: no status 'done'"),
    ],
)
def test_what_is_wrong_is_one_line(mesh: Home, words: list[str], code: int, told: str) -> None:
    mesh.launch("true")  # some task there is

    done = mesh.scitq(*words)

    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"scitq: {told}")
    assert done.err.count("\n") == 1
