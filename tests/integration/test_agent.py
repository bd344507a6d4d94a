"""A real agent and real keepers, with a broker that follows the test's script."""

import os
import signal
import sys
from pathlib import Path

import pytest

from scitq import wire
from tests.integration.broker_script import ScriptedBroker
from tests.integration.worker import Worker


def test_a_command_runs_and_its_output_travels_with_its_end(broker: ScriptedBroker, agent: Worker) -> None:
    ref = broker.run(1, "sh", "-c", "echo hello; echo oops >&2")

    end = broker.end_of(ref)

    assert (end.outcome.status, end.outcome.class_, end.outcome.exit_code) == ("succeeded", "", 0)
    assert (end.stdout, end.stderr) == (b"hello\n", b"oops\n")
    assert end.outcome.stdout.total == 6
    assert broker.chunks == []


def test_a_failure_says_its_exit_code(broker: ScriptedBroker, agent: Worker) -> None:
    end = broker.end_of(broker.run(1, "sh", "-c", "exit 3"))

    assert (end.outcome.status, end.outcome.class_, end.outcome.exit_code) == ("failed", "exit", 3)
    assert end.outcome.reason == "exit code 3"


def test_a_signal_has_its_name(broker: ScriptedBroker, agent: Worker) -> None:
    end = broker.end_of(broker.run(1, "sh", "-c", "kill -SEGV $$"))

    assert (end.outcome.class_, end.outcome.signal) == ("signal", 11)
    assert "SIGSEGV" in end.outcome.reason


def test_a_missing_program_names_itself_and_the_path(broker: ScriptedBroker, agent: Worker) -> None:
    end = broker.end_of(broker.run(1, "no-such-program-here"))

    assert (end.outcome.status, end.outcome.class_) == ("failed", "exit")
    assert "no-such-program-here" in end.outcome.reason
    assert "/usr/bin" in end.outcome.reason


def test_the_environment_is_exactly_what_is_promised(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    ref = broker.run(7, "env", env={"COLOUR": "blue", "LANG": "fr_FR.UTF-8", "SCITQ_ATTEMPT": "mine"})

    lines = broker.end_of(ref).stdout.decode().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    home = tmp_path / "scratch" / "tasks" / "7.1"

    assert found.keys() == {
        *("PATH", "HOME", "LANG", "USER", "HOSTNAME", "INPUT", "OUTPUT", "RESOURCE", "TEMP", "CPU", "MEM"),
        *("SCITQ_ATTEMPT", "COLOUR"),
    }
    assert found["INPUT"] == f"{home}/input"
    assert found["OUTPUT"] == f"{home}/output"
    assert found["RESOURCE"] == f"{home}/resource"
    assert found["TEMP"] == f"{home}/tmp"
    assert found["SCITQ_ATTEMPT"] == f"{broker.mesh}/7.1"
    assert (found["COLOUR"], found["LANG"]) == ("blue", "fr_FR.UTF-8")


def test_the_working_folder_is_temp(broker: ScriptedBroker, agent: Worker) -> None:
    end = broker.end_of(broker.run(1, "sh", "-c", 'test "$PWD" = "$TEMP" && pwd'))

    assert end.stdout.endswith(b"/tasks/1.1/tmp\n")


def test_inputs_and_resources_come_and_results_go(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    (tmp_path / "reads.txt").write_text("acgt\n")
    (tmp_path / "genome.txt").write_text("tttt\n")
    (tmp_path / "genome.txt").chmod(0o755)
    results = tmp_path / "results"
    script = "cat $INPUT/reads.txt $RESOURCE/genome.txt > $OUTPUT/sum.txt; test -x $RESOURCE/genome.txt"

    ref = broker.run(
        *(1, "sh", "-c", script),
        inputs=(f"file://{tmp_path}/reads.txt",),
        resources=(f"{tmp_path}/genome.txt",),
        output=f"file://{results}",
    )
    broker.until(lambda: broker.confirm == [ref], "confirm")
    assert not results.exists()
    broker.send(wire.Confirmed(tasks=(ref,)))
    end = broker.end_of(ref)

    assert end.outcome.status == "succeeded", end.outcome
    assert (results / "sum.txt").read_text() == "acgt\ntttt\n"
    assert end.outcome.stored == (("sum.txt", 10),)
    assert (end.outcome.bytes_in, end.outcome.bytes_out) == (10, 10)
    assert set(end.outcome.versions) == {f"file://{tmp_path}/reads.txt", f"{tmp_path}/genome.txt"}


def test_a_resource_is_fetched_once_and_cannot_be_written(
    broker: ScriptedBroker, agent: Worker, tmp_path: Path
) -> None:
    source = tmp_path / "genome.txt"
    source.write_text("tttt\n")
    first = broker.end_of(broker.run(1, "cat", "../resource/genome.txt", resources=(str(source),)))
    source.unlink()
    second = broker.end_of(broker.run(2, "sh", "-c", "stat -c %a $RESOURCE/genome.txt", resources=(str(source),)))

    assert (first.stdout, first.outcome.bytes_in) == (b"tttt\n", 5)
    assert (second.stdout, second.outcome.bytes_in) == (b"444\n", 0)


def test_a_failed_download_says_which(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    end = broker.end_of(broker.run(1, "true", inputs=(f"{tmp_path}/nothing.txt",)))

    assert (end.outcome.status, end.outcome.class_) == ("failed", "download")
    assert "nothing.txt" in end.outcome.reason


def test_results_are_stored_on_failure_too(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    ref = broker.run(1, "sh", "-c", "echo half > $OUTPUT/half; exit 4", output=f"{tmp_path}/results")
    broker.until(lambda: broker.confirm == [ref], "confirm")
    broker.send(wire.Confirmed(tasks=(ref,)))
    end = broker.end_of(ref)

    assert (end.outcome.status, end.outcome.class_, end.outcome.exit_code) == ("failed", "exit", 4)
    assert (tmp_path / "results" / "half").read_text() == "half\n"


def test_an_upload_that_cannot_work_fails_and_keeps_the_results(
    broker: ScriptedBroker, agent: Worker, tmp_path: Path
) -> None:
    (tmp_path / "results").write_text("in the way")
    ref = broker.run(1, "sh", "-c", "echo all > $OUTPUT/all", output=f"{tmp_path}/results")
    broker.until(lambda: broker.confirm == [ref], "confirm")
    broker.send(wire.Confirmed(tasks=(ref,)))
    end = broker.end_of(ref)

    assert (end.outcome.status, end.outcome.class_, end.outcome.exit_code) == ("failed", "upload", 0)
    assert (tmp_path / "scratch/tasks/1.1/output/all").read_text() == "all\n"


def test_folders_go_after_success_and_stay_after_failure(
    broker: ScriptedBroker, agent: Worker, tmp_path: Path
) -> None:
    source = tmp_path / "genome.txt"
    source.write_text("tttt\n")
    tasks = tmp_path / "scratch/tasks"
    broker.end_of(broker.run(1, "sh", "-c", "echo x > left", resources=(str(source),)))
    broker.end_of(broker.run(2, "sh", "-c", "echo x > left; false", resources=(str(source),)))

    broker.until(lambda: not (tasks / "1.1").exists() and not (tasks / "2.1/resource").exists(), "clearing")
    assert (tasks / "2.1/tmp/left").exists()
    assert (tasks / "2.1/input").exists()


def test_a_run_timeout_is_told(broker: ScriptedBroker, agent: Worker) -> None:
    end = broker.end_of(broker.run(1, "sleep", "600", run_timeout=0.2))

    assert (end.outcome.status, end.outcome.class_) == ("failed", "timeout")


def test_what_has_not_started_is_returned_and_what_runs_is_kept(broker: ScriptedBroker, agent: Worker) -> None:
    broker.send(wire.Settings(concurrency=1, prefetch=0))
    first, second, unknown = broker.run(1, "sleep", "600"), broker.run(2, "true"), wire.Ref(9, 1, 1)
    broker.running(first)

    broker.send(wire.Recall(tasks=(second, first, unknown)))
    broker.until(lambda: broker.returned and len(broker.kept) == 2, "answers")

    assert (broker.returned, broker.kept) == ([second], [first, unknown])
    broker.send(wire.Halt(tasks=(first,)))
    assert broker.end_of(first).outcome.status == "cancelled"
    assert broker.end_of(broker.run(3, "true")).outcome.status == "succeeded"
    assert not [one for one in broker.started if one.ref == second]


@pytest.mark.parametrize("terminate", [False, True])
def test_halt_ends_what_runs_and_what_waits(broker: ScriptedBroker, agent: Worker, terminate: bool) -> None:
    broker.send(wire.Settings(concurrency=1, prefetch=0))
    first, second = broker.run(1, "sh", "-c", "sleep 600 & wait"), broker.run(2, "true")
    broker.running(first)

    broker.send(wire.Halt(tasks=(second, first), terminate=terminate))

    assert [broker.end_of(ref).outcome.class_ for ref in (first, second)] == ["cancelled", "cancelled"]


def test_a_suspended_command_stands_still_until_it_is_resumed(
    broker: ScriptedBroker, agent: Worker, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "gate")
    ref = broker.run(1, "sh", "-c", f"echo $$ > {tmp_path}/pid; read line < {tmp_path}/gate")
    broker.running(ref)
    pid = broker.written(tmp_path / "pid")

    def state() -> str:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    broker.send(wire.Suspend(tasks=(ref,)))
    broker.until(lambda: state() == "T", "a command that stands still")
    broker.send(wire.Resume(tasks=(ref,)))
    broker.until(lambda: state() != "T", "a command that goes on")
    (tmp_path / "gate").write_text("go\n")
    end = broker.end_of(ref)

    assert end.outcome.status == "succeeded"
    assert end.outcome.suspended_seconds > 0


def test_what_was_suspended_before_its_start_stands_still_then(
    broker: ScriptedBroker, agent: Worker, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "gate")
    broker.send(wire.Settings(concurrency=1, prefetch=0))
    first = broker.run(1, "sh", "-c", f"read line < {tmp_path}/gate")
    second = broker.run(2, "sleep", "0.3")
    broker.running(first)
    broker.send(wire.Suspend(tasks=(second,)))
    (tmp_path / "gate").write_text("go\n")
    broker.running(second)
    broker.send(wire.Resume(tasks=(second,)))

    assert broker.end_of(second).outcome.suspended_seconds > 0


def test_more_output_than_fits_an_end_comes_in_order(broker: ScriptedBroker, agent: Worker) -> None:
    ref = broker.run(1, "seq", "1", "400000")
    end = broker.end_of(ref)
    text = broker.text(ref)

    assert text == b"".join(b"%d\n" % number for number in range(1, 400_001))
    assert end.outcome.stdout.total == end.outcome.stdout.head == len(text)
    assert end.stdout == b""
    assert max(len(chunk.data) for chunk in broker.chunks) <= wire.CHUNK_LIMIT


def test_head_and_tail_are_kept_and_the_cut_is_said(broker: ScriptedBroker, agent: Worker) -> None:
    ref = broker.run(1, "seq", "1", "400000", log_limit=200_000)
    stream = broker.end_of(ref).outcome.stdout
    whole = b"".join(b"%d\n" % number for number in range(1, 400_001))
    text = broker.text(ref)

    assert (stream.total, stream.head, stream.tail) == (len(whole), 100_000, len(whole) - 100_000)
    assert text[:100_000] == whole[:100_000]
    assert text[-100_000:] == whole[-100_000:]
    assert [chunk.offset for chunk in broker.chunks if chunk.skip] == [stream.tail]


def test_output_waits_for_acknowledgements(broker: ScriptedBroker, agent: Worker) -> None:
    broker.acknowledges = False
    ref = broker.run(1, "sh", "-c", "head -c 3000000 /dev/zero", log_limit=None)
    other = broker.run(2, "sh", "-c", "head -c 100000 /dev/zero")

    broker.until(lambda: sum(len(c.data) for c in broker.chunks if c.ref == ref) >= 1024 * 1024, "a credit full")
    assert broker.end_of(other).outcome.stdout.total == 100_000
    held_back = len(broker.text(ref))
    assert held_back <= 1024 * 1024 + wire.CHUNK_LIMIT
    assert not [end for end in broker.ends if end.ref == ref]

    broker.acknowledges = True
    broker.send(wire.Ack(logs=(wire.LogMark(ref, "stdout", held_back),)))
    assert broker.end_of(ref).outcome.stdout.total == 3_000_000
    assert len(broker.text(ref)) == 3_000_000


def test_a_refused_stream_stops_and_its_end_still_comes(broker: ScriptedBroker, agent: Worker) -> None:
    broker.acknowledges = False
    ref = broker.run(1, "sh", "-c", "head -c 3000000 /dev/zero", log_limit=None)
    broker.until(lambda: len(broker.text(ref)) >= 1024 * 1024, "a credit full")

    broker.send(wire.Ack(refused=(wire.LogMark(ref, "stdout", 1000),)))

    assert broker.end_of(ref).outcome.stdout.total == 3_000_000
    assert len(broker.text(ref)) < 3_000_000


def test_what_is_wanted_comes_again_and_then_the_end(broker: ScriptedBroker, agent: Worker) -> None:
    broker.acknowledges = False
    ref = broker.run(1, "sh", "-c", "head -c 500000 /dev/zero")
    broker.end_of(ref)
    broker.ends.clear()
    broker.chunks.clear()

    broker.send(wire.Ack(wanted=(wire.LogMark(ref, "stdout", 100_000),)))

    assert broker.end_of(ref).outcome.stdout.total == 500_000
    assert broker.chunks[0].offset == 100_000
    assert sum(len(chunk.data) for chunk in broker.chunks) == 400_000


def test_output_arrives_while_its_task_runs(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    ref = broker.run(1, "sh", "-c", f"echo early; read line < {tmp_path}/gate; echo late")

    broker.until(lambda: broker.text(ref) == b"early\n", "the first line")
    (tmp_path / "gate").write_text("go\n")
    broker.end_of(ref)

    assert broker.text(ref) == b"early\nlate\n"


def test_past_the_head_output_goes_live_and_is_stored_by_nobody(
    broker: ScriptedBroker, agent: Worker, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "gate")
    ref = broker.run(1, "sh", "-c", f"seq 1 1000; read line < {tmp_path}/gate; echo last", log_limit=100)

    live = broker.until(lambda: [chunk for chunk in broker.chunks if chunk.live], "live output")
    (tmp_path / "gate").write_text("go\n")
    end = broker.end_of(ref)

    whole = b"".join(b"%d\n" % number for number in range(1, 1001)) + b"last\n"
    assert all(chunk.data == whole[chunk.offset : chunk.offset + len(chunk.data)] for chunk in live)
    assert live[0].offset >= 50
    assert (end.outcome.stdout.head, end.outcome.stdout.tail) == (50, len(whole) - 50)
    assert broker.text(ref)[:50] + broker.text(ref)[-50:] == whole[:50] + whole[-50:]


def test_another_user_is_refused_without_root(broker: ScriptedBroker, agent: Worker) -> None:
    end = broker.end_of(broker.run(1, "id", "-u", uid=12345))

    if os.geteuid() == 0:
        assert end.stdout == b"12345\n"
    else:
        assert (end.outcome.status, end.outcome.class_) == ("failed", "exit")
        assert "only root" in end.outcome.reason


def test_a_scratch_folder_has_one_agent(broker: ScriptedBroker, agent: Worker) -> None:
    second = Worker(broker.address, agent.scratch)
    second.start()

    assert second.wait() == 1
    assert "in use by another scitq node" in agent.said()


def test_a_signal_says_goodbye(broker: ScriptedBroker, agent: Worker) -> None:
    assert agent.kill(signal.SIGTERM) == 0
    broker.until(lambda: broker.byes == 1, "bye")


def test_a_dismissed_worker_ends_what_it_holds(broker: ScriptedBroker, agent: Worker, tmp_path: Path) -> None:
    ref = broker.run(1, "sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    broker.running(ref)
    pid = broker.written(tmp_path / "pid")

    broker.send(wire.Dismissed(reason="deleted by its operator"))

    assert agent.wait() == 0
    assert "deleted by its operator" in agent.said()
    assert not Path(f"/proc/{pid}").exists()


def test_the_peak_memory_is_that_of_the_whole_tree(broker: ScriptedBroker, agent: Worker) -> None:
    """The kernel alone tells that of the largest process; the tree lives as long as a few looks at it."""
    holds = f"{sys.executable} -c 'import time; data = bytearray(b\"x\") * (40 << 20); time.sleep(4)'"
    whole = broker.end_of(broker.run(1, "sh", "-c", f"{holds} & {holds} & {holds} & wait"))

    assert 120 << 20 < whole.outcome.peak_memory < 200 << 20
    assert whole.outcome.cpu_seconds > 0
