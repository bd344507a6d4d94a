"""The broker on disks that fill up, or refuse writes and syncs: what was acknowledged is there after it."""

import errno
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

import pytest

from scitq import wire
from scitq.broker import maintenance
from scitq.client import Client
from scitq.errors import Unavailable
from tests.e2e.disks import broker_on, read_only, small_disk
from tests.e2e.faulty import CHANGES, SHORT, FaultyDisk, faulty_disk
from tests.integration.mesh import DEADLINE, BrokerProcess, Raw, until
from tests.integration.test_broker import ModelWorker, fill
from tests.integration.worker import worker
from tests.journal.kit import contents

SLOTS = 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FaultyDisk]:
    with faulty_disk(tmp_path / "disk") as one:
        yield one


class Ledger:
    """What a client was promised: it submits until it is refused, and holds the broker to all that it took."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.taken: dict[int, str] = {}
        self._next = 0
        self.refusals: set[str] = set()  # what it was told

    def submit(self, size: int = 0) -> bool:
        """One more task, of so many bytes; False when it was refused, in one line."""
        name = f"request {self._next}"
        try:
            self.taken[self._client.submit(["echo", "x" * size], name=name, request_id=name)] = name
        except Unavailable as refused:
            self.refusals.add(str(refused))
            return False
        self._next += 1
        return True

    def check(self, client: Client) -> None:
        """All that was acknowledged is there, once; what was refused was told in a line."""
        assert not [told for told in self.refusals if "\n" in told]
        found = {task.id: task.name for task in client.tasks()}
        assert {task: found.get(task) for task in self.taken} == self.taken
        assert max(Counter(found.values()).values()) == 1


def running(hand: ModelWorker, client: Client, ledger: Ledger) -> list[wire.Ref]:
    """A worker's slots filled with tasks that run."""
    hand.join(concurrency=SLOTS)
    for _ in range(SLOTS):
        assert ledger.submit()
    refs = list(hand.refs(SLOTS))
    hand.send(wire.encode(wire.Report(started=tuple(wire.Started(ref, "running", 1.0) for ref in refs))))
    until(lambda: sum(task.status == "running" for task in client.tasks()) == SLOTS, "all run")
    return refs


def status_now(raw: Raw) -> str:
    """What the broker says of itself, as far as it has answered by now."""
    raw.send(wire.encode(wire.Hello(id=1, protocol=wire.PROTOCOL)))
    raw.send(wire.encode(wire.Status(id=2)))
    notes = ""
    while raw.socket.poll(100):
        answer = raw.receive()
        if isinstance(answer, wire.StatusIs):
            notes += " ".join(answer.notes)
        elif isinstance(answer, wire.Error):
            notes += answer.error["message"]
    return notes


def end_all(hand: ModelWorker, client: Client, refs: list[wire.Ref], stdout: bytes) -> None:
    """Tell these ends as a worker does: again, until the broker has taken them."""

    def taken() -> bool:
        for ref in refs:
            hand.end(ref, stdout)
        try:
            return {task.status for task in client.tasks([ref.task for ref in refs])} == {"succeeded"}
        except Unavailable:
            return False

    until(taken, "the ends are in the books")


def check_durable(process: BrokerProcess, ledger: Ledger, ended: list[int]) -> None:
    """After a kill the state is sound, and holds every promise and every end."""
    process.kill()
    report = maintenance.check(process.state)
    assert report.sound, report.lines
    process.start()
    with process.client() as client:
        ledger.check(client)
        assert all(task.status == "succeeded" for task in client.tasks(ended))


# ---------------------------------------------------------------------------- full


def test_a_disk_that_fills_under_load_takes_ends_and_heals_by_itself(tmp_path: Path) -> None:
    with small_disk(tmp_path, "160m") as small, broker_on(tmp_path, small / "state") as process:
        with process.client() as client, ModelWorker(process.address) as hand:
            ledger = Ledger(client)
            refs = running(hand, client, ledger)
            first, second = refs[: SLOTS // 2], refs[SLOTS // 2 :]

            fill(small / "ballast")
            while ledger.submit(size=500_000):
                pass
            for ref in first:
                hand.end(ref, b"refused output")
            ends = client.wait([ref.task for ref in first], timeout=30)
            assert {end.status for end in ends} == {"succeeded"}
            assert not ledger.submit()
            (attempt,) = client.attempts([first[0].task])
            assert "nearly full" in attempt.stdout.note

            (small / "ballast").unlink()
            until(ledger.submit, "the broker takes tasks again")
            for ref in second:
                hand.end(ref, b"kept output")
            client.wait([ref.task for ref in second], timeout=30)
            assert b"".join(data for _, data in client.output(second[0].task)) == b"kept output"
        check_durable(process, ledger, [ref.task for ref in refs])


# ---------------------------------------------------------------------------- read-only


@pytest.mark.parametrize("module", [("scitq.broker",), ("scitq", "broker")])
@pytest.mark.parametrize("part", ["", "state", "state/journal"])
def test_a_broker_does_not_start_where_it_may_not_write_and_says_so_in_a_line(
    tmp_path: Path, part: str, module: tuple[str, ...]
) -> None:
    with small_disk(tmp_path, "160m") as small:
        with broker_on(tmp_path, small / "state") as process:
            with process.client() as client:
                client.submit(["true"])
            process.kill()
        before = contents(small / "state" / "journal")
        with read_only(small / part):
            words = [sys.executable, "-m", *module, "--state", str(small / "state"), "--bind", f"ipc://{tmp_path}/s"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert done.returncode > 0
        (line,) = done.stderr.splitlines()
        assert str(small / "state") in line
        assert "Read-only file system" in line
        assert contents(small / "state" / "journal") == before
        process.start()
        with process.client() as client:
            assert len(list(client.tasks())) == 1
        process.end()


def test_a_state_that_turns_read_only_below_a_broker_is_said_and_heals(tmp_path: Path) -> None:
    """The journal's open segment can still be written, its next one cannot be made."""
    with small_disk(tmp_path, "400m") as small, broker_on(tmp_path, small / "state") as process:
        with process.client() as client:
            ledger, enough = Ledger(client), threading.Event()

            def submit_until_enough() -> None:
                while not enough.is_set():
                    ledger.submit(size=500_000)

            load = threading.Thread(target=submit_until_enough)
            with read_only(small / "state"), Raw(process.address) as stranger:
                load.start()
                until(lambda: "Read-only file system" in status_now(stranger), "the broker says so")
                before = len(ledger.taken)
            until(lambda: len(ledger.taken) > before, "what waited is taken")
            enough.set()
            load.join(DEADLINE)
            assert ledger.submit()
        check_durable(process, ledger, [])


# ---------------------------------------------------------------------------- refused by the disk


@pytest.mark.parametrize("how", ["EIO", "EROFS"])
def test_a_disk_that_refuses_everything_is_said_and_heals(tmp_path: Path, disk: FaultyDisk, how: str) -> None:
    """EROFS is what a file system says that the kernel has turned read-only below its open files.

    `mount -o remount,ro` cannot do that to a running broker: it is refused (EBUSY) while a file is open for writing.
    """
    with broker_on(tmp_path, disk.mount / "state") as process:
        with process.client() as client, ModelWorker(process.address) as hand:
            ledger = Ledger(client)
            refs = running(hand, client, ledger)
            for op in CHANGES:
                disk.fail(op, how)
            hand.end(refs[0], b"output")  # its round is the one that fails
            with Raw(process.address) as stranger:
                until(lambda: f"[Errno {getattr(errno, how)}]" in status_now(stranger), "the broker says so")
            assert not ledger.submit()
            with pytest.raises(Unavailable, match="goes on trying"):
                list(client.tasks())  # nothing that is not durable is shown
            disk.heal()
            until(ledger.submit, "the broker takes tasks again")
            end_all(hand, client, refs, b"output")
            assert not client.status().notes
        check_durable(process, ledger, [ref.task for ref in refs])


@pytest.mark.parametrize("name", [".journal", ".log"])
@pytest.mark.parametrize("op", ["fsync", "write"])
def test_a_file_that_failed_once_is_never_synced_again(tmp_path: Path, disk: FaultyDisk, op: str, name: str) -> None:
    with broker_on(tmp_path, disk.mount / "state") as process:
        with process.client() as client, ModelWorker(process.address) as hand:
            ledger = Ledger(client)
            refs = running(hand, client, ledger)
            disk.fail(op, times=1, name=name)
            end_all(hand, client, refs, b"x" * 1_000)
            assert ledger.submit()
            for ref in refs:
                assert b"".join(data for _, data in client.output(ref.task)) == b"x" * 1_000
        calls = disk.calls()
        ((place, failed),) = [(place, call) for place, call in enumerate(calls) if call.result == "EIO"]
        assert (failed.op, name in failed.name) == (op, True)
        after = list(takewhile(lambda call: (call.op, call.inode) != ("create", failed.inode), calls[place + 1 :]))
        assert failed.inode not in {call.inode for call in after if call.op == "fsync"}
        assert "fsync" in {call.op for call in calls[place + 1 :]}
        check_durable(process, ledger, [ref.task for ref in refs])


@pytest.mark.parametrize("name", [".journal", ".log"])
def test_a_short_write_is_finished(tmp_path: Path, disk: FaultyDisk, name: str) -> None:
    with broker_on(tmp_path, disk.mount / "state") as process:
        with process.client() as client, ModelWorker(process.address) as hand:
            ledger = Ledger(client)
            refs = running(hand, client, ledger)
            disk.fail("write", SHORT, times=5, name=name)
            end_all(hand, client, refs, b"y" * 1_000)
            assert SHORT in {call.result for call in disk.calls()}
        check_durable(process, ledger, [ref.task for ref in refs])
        with process.client() as client:
            for ref in refs:
                assert b"".join(data for _, data in client.output(ref.task)) == b"y" * 1_000


# ---------------------------------------------------------------------------- a worker's scratch


def test_a_full_scratch_is_said_and_a_worker_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with broker_on(tmp_path, tmp_path / "state") as process, small_disk(tmp_path, "24m") as small:
        gate = tmp_path / "gate"
        with process.client() as client, worker(process.address, small / "scratch", concurrency=2, batch="*"):
            held = f"echo begun; until [ -e {gate} ]; do sleep 0.02; done; echo over"
            quiet = client.submit(["sh", "-c", held])
            loud = client.submit(["sh", "-c", f"{held}; head -c 300000 /dev/zero; exit 3"])
            until(lambda: {task.status for task in client.tasks()} == {"running"}, "both run")
            fill(small / "ballast")
            gate.touch()
            until(lambda: len(process_children(small)) == 0, "both commands are over")
            (small / "ballast").unlink()
            ends = client.wait([quiet, loud], timeout=60)
            assert [(end.status, end.exit_code) for end in ends] == [("succeeded", 0), ("failed", 3)]
            assert b"".join(data for _, data in client.output(quiet)) == b"begun\nover\n"
            (attempt,) = client.attempts([loud])
            kept = sum(len(data) for _, data in client.output(loud))
            assert attempt.stdout.total == 300_000 + len("begun\nover\n")
            assert kept == attempt.stdout.total or attempt.stdout.note, attempt
            (after,) = client.wait([client.submit(["echo", "again"])], timeout=60)
            assert after.status == "succeeded"


def process_children(scratch: Path) -> list[str]:
    """The command lines of what runs below this scratch, agent and keepers apart."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if str(scratch).encode() in (entry / "environ").read_bytes():
                    words = (entry / "cmdline").read_bytes()
                    if words and b"scitq" not in words:
                        found.append(words.decode(errors="replace"))
    return found
