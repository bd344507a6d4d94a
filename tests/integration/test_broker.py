"""A real broker process: what it keeps, what it refuses, and that neither ends it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq import wire
from scitq.broker import maintenance
from scitq.errors import NotFound, ScitqError, Unavailable, UsageError
from scitq.model import Outcome, Spec, Stream
from tests.integration.mesh import BrokerProcess, Raw, broker, enrolment, until


def error_of(answer: wire.Answer) -> str:
    assert isinstance(answer, wire.Error), answer
    return answer.error["code"]


def test_an_acknowledged_task_survives_kill_9(tmp_path: Path) -> None:
    with broker(tmp_path) as process:
        with process.client() as client:
            client.submit(["true"], request_id="first")
            ids = client.submit_many([{"command": ["echo", str(n)]} for n in range(10)])
        process.kill()
        process.start()
        with process.client() as client:
            assert client.submit(["true"], request_id="first") == 1
            assert [task.id for task in client.tasks()] == [1, *ids]
            assert next(iter(client.tasks([5]))).command == ("echo", "3")


def test_garbage_is_answered_and_counted_and_ends_nothing(tmp_path: Path) -> None:
    with broker(tmp_path) as process, Raw(process.address) as raw:
        for bad in (b"", b"\xc1", b"\x00" * 100, b"\x81\xa4type\xa4nope", os.urandom(300)):
            raw.send(bad)
            assert error_of(raw.receive()) == "bad_message"
        raw.send(b"one", b"two")
        assert error_of(raw.receive()) == "bad_message"
        assert error_of(raw.ask(wire.Status(id=7))) == "bad_message"  # before hello
        assert isinstance(raw.hello(), wire.Welcome)
        status = raw.ask(wire.Status(id=8))
        assert isinstance(status, wire.StatusIs)
        assert status.refused_messages == 7


def test_another_protocol_version_is_told_so(tmp_path: Path) -> None:
    with broker(tmp_path) as process, Raw(process.address) as raw:
        answer = raw.ask(wire.Hello(id=1, protocol=99, version="9.9"))
        assert error_of(answer) == "wrong_version"


def test_a_message_over_the_bound_ends_its_connection_only(tmp_path: Path) -> None:
    with broker(tmp_path) as process, Raw(process.address) as other:
        assert isinstance(other.hello(), wire.Welcome)
        with Raw(process.address) as raw:
            assert isinstance(raw.hello(), wire.Welcome)
            raw.send(b"x" * (wire.MESSAGE_LIMIT + 1))
        assert isinstance(other.ask(wire.Status(id=2)), wire.StatusIs)
        assert process.alive()


def test_a_second_broker_on_the_state_is_refused(tmp_path: Path) -> None:
    with broker(tmp_path) as process:
        command = [
            sys.executable,
            "-m",
            "scitq.broker",
            "--state",
            str(process.state),
            "--bind",
            f"ipc://{tmp_path}/t",
        ]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert second.returncode == 1
        assert second.stderr.count("\n") == 1
        assert f"pid {process.process.pid}" in second.stderr  # type: ignore[union-attr]
        with process.client() as client:
            assert client.submit(["true"]) == 1


def test_a_folder_that_is_no_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "thesis.tex").write_text("precious")
    command = [
        sys.executable,
        "-m",
        "scitq.broker",
        "--state",
        str(tmp_path / "state"),
        "--bind",
        f"ipc://{tmp_path}/t",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "thesis.tex" in ended.stderr
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_stop_exits_0(tmp_path: Path, number: int) -> None:
    with broker(tmp_path) as process:
        assert process.kill(number) == 0


def test_bad_requests_are_one_line_each(tmp_path: Path) -> None:
    with broker(tmp_path) as process, process.client() as client:
        for spec, kind in (
            (Spec(), UsageError),
            (Spec(command=("a\0b",)), UsageError),
            (Spec(command=("a",), retry=-1), UsageError),
            (Spec(command=("a",), inputs=("s4://x",)), UsageError),
            (Spec(command=("a",), container="ubuntu", container_options="-d"), UsageError),
            (Spec(command=("a",), requires=(99,)), NotFound),
        ):
            with pytest.raises(kind) as caught:
                client.submit_many([spec])
            assert "\n" not in str(caught.value)
        with pytest.raises(NotFound):
            client.explain(batch="nowhere")
        with pytest.raises(NotFound):
            client.explain(5)
        assert client.submit(["true"]) == 1


def test_a_full_disk_is_said_and_heals(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m,mode=700", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        with broker(small) as process, process.client() as client:
            client.submit(["true"])
            ballast = small / "ballast"
            fill(ballast)
            big = "x" * 100_000
            refused = 0
            for _ in range(2_000):
                try:
                    client.submit(["echo", big])
                except Unavailable:
                    refused += 1
                    break
            assert refused
            assert process.alive()
            ballast.unlink()
            until(lambda: _taken(client), "the broker takes tasks again")
            known = len(list(client.tasks()))
            process.kill()
            process.start()
            with process.client() as again:
                assert len(list(again.tasks())) == known
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def _taken(client: object) -> bool:
    try:
        client.submit(["true"])  # type: ignore[attr-defined]
    except ScitqError:
        return False
    return True


def fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb") as file:
        try:
            while True:
                file.write(b"x" * (1 << 20))
                file.flush()
        except OSError:
            return


class ModelWorker(Raw):
    """A worker that answers as it is told."""

    def join(self, **fields: object) -> wire.Welcome:
        welcome = self.hello(enrol=enrolment(**fields))  # type: ignore[arg-type]
        assert isinstance(welcome, wire.Welcome), welcome
        return welcome

    def next(self, kind: type) -> wire.Answer:
        while True:
            answer = self.receive()
            if isinstance(answer, kind):
                return answer

    def assigned(self) -> list[wire.Assignment]:
        answer = self.next(wire.Assign)
        assert isinstance(answer, wire.Assign)
        return list(answer.tasks)

    def refs(self, count: int) -> Iterator[wire.Ref]:
        """So many attempts, as they are handed over."""
        while count > 0:
            for assignment in self.assigned():
                count -= 1
                yield assignment.ref

    def end(self, ref: wire.Ref, stdout: bytes = b"", status: str = "succeeded", code: int = 0) -> None:
        outcome = Outcome(
            status=status,  # type: ignore[arg-type]
            class_="" if status == "succeeded" else "exit",
            exit_code=code,
            stdout=Stream(len(stdout), len(stdout), len(stdout)),
        )
        self.send(wire.encode(wire.Report(ends=(wire.End(ref, outcome, 1.0, 2.0, stdout),))))


def test_a_worker_that_comes_back_after_a_broker_restart_goes_on(tmp_path: Path) -> None:
    with broker(tmp_path) as process:
        with process.client() as client, ModelWorker(process.address) as worker:
            worker.join()
            client.submit(["true"])
            ref = worker.assigned()[0].ref
            worker.send(wire.encode(wire.Report(started=(wire.Started(ref, "running", 1.0),))))
            until(lambda: next(iter(client.tasks([1]))).status == "running", "running")
        process.kill()
        process.start()
        with process.client() as client, ModelWorker(process.address) as worker:
            welcome = worker.join(held=(wire.Held(ref=ref, phase="running"),))
            assert [verdict.do for verdict in welcome.verdicts] == ["keep"]
            worker.end(ref, b"out")
            assert [end.status for end in client.wait([1])] == ["succeeded"]
            assert b"".join(data for _, data in client.output(1)) == b"out"


def test_output_outlives_its_worker_a_restart_and_a_compaction(tmp_path: Path) -> None:
    with broker(tmp_path) as process:
        with process.client() as client, ModelWorker(process.address) as worker:
            worker.join()
            client.submit_many([{"command": ["echo", str(number)]} for number in range(20)])
            for ref in worker.refs(20):
                worker.end(ref, f"line {ref.task - 1}\n".encode())
            client.wait(range(1, 21))
        for _ in range(9):  # each start seals a segment
            assert process.kill(signal.SIGTERM) == 0
            process.start()
        until(lambda: list((process.state / "journal").glob("0*.snapshot")), "a compaction")
        with process.client() as client:
            client.submit(["true"])
        process.kill()
        assert maintenance.check(process.state).sound
        process.start()
        with process.client() as client:
            assert len(list(client.tasks())) == 21
            for number in range(20):
                assert b"".join(data for _, data in client.output(number + 1)) == f"line {number}\n".encode()


def test_backup_while_running_restore_and_what_was_forgotten(tmp_path: Path) -> None:
    with broker(tmp_path) as process:
        with process.client() as client, ModelWorker(process.address) as worker:
            worker.join()
            client.submit(["true"])
            first = worker.assigned()[0].ref
            worker.end(first, b"kept")
            client.wait([1])
            maintenance.backup(process.state, tmp_path / "copy.tar")
            assert (tmp_path / "copy.tar").stat().st_mode & 0o777 == 0o600
            client.submit(["later"])
            later = worker.assigned()[0].ref
        process.kill()
        restored = tmp_path / "restored"
        assert maintenance.restore(tmp_path / "copy.tar", restored) == 2
        process.state = restored
        process.start()
        with process.client() as client, ModelWorker(process.address) as worker:
            assert [task.id for task in client.tasks()] == [1]
            assert b"".join(data for _, data in client.output(1)) == b"kept"
            welcome = worker.join(held=(wire.Held(ref=later, phase="ended"),))
            assert [verdict.do for verdict in welcome.verdicts] == ["keep"]
            worker.end(later)
            worker.next(wire.Ack)
            client.submit(["true"])
            assert worker.assigned()[0].ref.epoch == 2
        process.kill(signal.SIGTERM)
        report = maintenance.check(restored)
        assert report.sound
        assert any("set aside: task 2, attempt 1 of epoch 1" in line for line in report.lines)


def test_the_journal_reads_as_json_lines_and_by_plain_msgpack(tmp_path: Path) -> None:
    import msgpack

    from scitq.broker import segments

    with broker(tmp_path) as process:
        with process.client() as client:
            client.submit([b"\xff\xfe", "caf\u00e9"], env={"A": "b"})
        process.kill(signal.SIGTERM)
        entries = [json.loads(line) for line in maintenance.lines(process.state)]
        names = [event["event"] for entry in entries for event in entry["events"]]
        assert names[:2] == ["MeshCreated", "AccessGranted"]
        assert "Submitted" in names
        words = []
        for source in segments.read_chain(process.state / "journal").sources:
            for frame in source.frames():
                for _, _, facts in msgpack.unpackb(frame.body):
                    words += [fact[3][0]["command"] for fact in facts if fact[0] == 10]
        assert words == [[b"\xff\xfe", "caf\u00e9"]]


def test_damage_is_located_and_repaired_with_a_new_epoch(tmp_path: Path) -> None:
    with broker(tmp_path) as process:
        with process.client() as client:
            for _ in range(5):
                client.submit(["true"])
        process.kill(signal.SIGTERM)
    segment = max((process.state / "journal").glob("*.journal"), key=lambda path: path.stat().st_size)
    content = bytearray(segment.read_bytes())
    content[len(content) * 2 // 3] ^= 0x40
    segment.write_bytes(content)
    report = maintenance.check(process.state)
    assert not report.sound
    assert segment.name in report.lines[0]
    failed = BrokerProcess(tmp_path)
    with pytest.raises(AssertionError, match="repair"):
        failed.start()
    failed.end()
    lines = maintenance.mend(process.state)
    assert "epoch is 2" in lines[-1]
    assert maintenance.check(process.state).sound
    with broker(tmp_path) as process, process.client() as client:
        assert client.submit(["true"]) >= 1


def test_what_an_operator_changed_outlives_a_reconnection_and_a_start_without_flags(tmp_path: Path) -> None:
    with broker(tmp_path) as process, process.client() as client:
        with ModelWorker(process.address) as worker:
            assert worker.join(concurrency=2, batch="a").concurrency == 2
            client.worker_update("w1", concurrency=5, batch="b")
        with ModelWorker(process.address) as worker:
            assert worker.join(concurrency=2, batch="a", again=True).concurrency == 5
        with ModelWorker(process.address) as worker:
            assert worker.join(concurrency=0, batch="").concurrency == 5
            assert client.workers()[0].batch == "b"
        with ModelWorker(process.address) as worker:
            assert worker.join(concurrency=3, batch="").concurrency == 3


def test_a_relaunch_sent_again_changes_nothing(tmp_path: Path) -> None:
    with broker(tmp_path) as process:
        with process.client() as client, ModelWorker(process.address) as worker:
            worker.join()
            client.submit(["true"])
            worker.end(worker.assigned()[0].ref)
            client.wait([1])
            worker.send(wire.encode(wire.Relaunch(id=5, select=wire.Select(ids=(1,)), request="x")))
            worker.end(worker.assigned()[0].ref)
            client.wait([1])
        process.kill()
        process.start()
        with process.client() as client, Raw(process.address) as raw:
            raw.hello()
            again = raw.ask(wire.Relaunch(id=6, select=wire.Select(ids=(1,)), request="x"))
            assert again == wire.Done(id=6, count=1)
            assert next(iter(client.tasks([1]))).attempt == 2


def test_a_task_can_be_told_to_wait_for_others(tmp_path: Path) -> None:
    with broker(tmp_path) as process, process.client() as client:
        client.submit_many([["a"], ["b"], ["c"]])
        assert client.update([3], requires=(1, 2)).count == 1
        assert next(iter(client.tasks([3]))).status == "waiting"
        assert client.update([3], requires=()).count == 1
        assert next(iter(client.tasks([3]))).status == "pending"
        with pytest.raises(UsageError):
            client.update([2], requires=(3,))
