"""A log that never stops, and peers that do not read: nobody else waits, and the broker holds nothing for them."""

from pathlib import Path

from scitq import wire
from scitq.model import MIB, Outcome, Stream
from tests.integration.mesh import BrokerProcess, Raw, broker, enrolment, until

PIECE = bytes(range(256)) * 1024  # 256 KiB
PIECES = 200
BOUND = 24 * MIB


def rss(process: BrokerProcess) -> int:
    assert process.process is not None
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def next_of(raw: Raw, kind: type) -> wire.Answer:
    while True:
        answer = raw.receive()
        if isinstance(answer, kind):
            return answer


def running(worker: Raw) -> wire.Ref:
    """The worker's first task, which runs now."""
    assigned = next_of(worker, wire.Assign)
    assert isinstance(assigned, wire.Assign)
    ref = assigned.tasks[0].ref
    worker.send(wire.encode(wire.Report(started=(wire.Started(ref, "running", 1.0),))))
    return ref


def pour(worker: Raw, ref: wire.Ref, first: int, count: int) -> None:
    """Write pieces of output, each once the one before is durable."""
    for number in range(first, first + count):
        chunk = wire.Chunk(ref, "stdout", number * len(PIECE), PIECE)
        worker.send(wire.encode(wire.Report(chunks=(chunk,))))
        ack = next_of(worker, wire.Ack)
        while not (isinstance(ack, wire.Ack) and any(mark.offset == (number + 1) * len(PIECE) for mark in ack.logs)):
            ack = next_of(worker, wire.Ack)


def end(worker: Raw, ref: wire.Ref, total: int) -> None:
    outcome = Outcome(status="succeeded", exit_code=0, stdout=Stream(total, total, total))
    worker.send(wire.encode(wire.Report(ends=(wire.End(ref, outcome, 1.0, 2.0),))))


def test_followers_that_grant_nothing_or_read_nothing_cost_nothing(tmp_path: Path) -> None:
    with broker(tmp_path) as process, process.client() as client, Raw(process.address) as worker:
        worker.hello(enrol=enrolment())
        client.submit(["firehose"], log_limit=None)
        ref = running(worker)
        until(lambda: next(iter(client.tasks([1]))).status == "running", "it runs")
        with Raw(process.address) as thrifty, Raw(process.address) as deaf:
            for follower in (thrifty, deaf):
                follower.hello()
                follower.send(wire.encode(wire.FollowOutput(id=2, task=1)))
            pour(worker, ref, 0, 20)
            before = rss(process)
            pour(worker, ref, 20, PIECES)
            assert client.status().counts["running"] == 1  # somebody else is answered meanwhile
            assert rss(process) - before < BOUND
            got = 0
            while got < wire.FOLLOW_CREDIT:  # what it was given at first, and not a byte more until it grants
                part = next_of(thrifty, wire.OutputPart)
                assert isinstance(part, wire.OutputPart)
                got += len(part.data)
            assert got == wire.FOLLOW_CREDIT
            thrifty.send(wire.encode(wire.Credit(follow=2, bytes=1000)))
            part = next_of(thrifty, wire.OutputPart)
            assert isinstance(part, wire.OutputPart)
            assert (part.offset, len(part.data)) == (got, 1000)
        end(worker, ref, (20 + PIECES) * len(PIECE))
        assert [one.status for one in client.wait([1])] == ["succeeded"]


def test_a_slow_reader_gets_every_byte(tmp_path: Path) -> None:
    with broker(tmp_path) as process, process.client() as client, Raw(process.address) as worker:
        worker.hello(enrol=enrolment())
        client.submit(["firehose"], log_limit=None)
        ref = running(worker)
        with Raw(process.address) as slow:
            slow.hello()
            slow.send(wire.encode(wire.FollowOutput(id=2, task=1)))
            pour(worker, ref, 0, 30)  # far more than its credit, before it reads at all
            end(worker, ref, 30 * len(PIECE))
            got = b""
            while True:
                answer = slow.receive()
                if isinstance(answer, wire.FollowEnd):
                    break
                if isinstance(answer, wire.OutputPart) and answer.data:
                    assert answer.offset == len(got)
                    assert not answer.gap
                    got += answer.data
                    slow.send(wire.encode(wire.Credit(follow=2, bytes=len(answer.data))))
        assert got == PIECE * 30


def test_a_worker_that_never_reads_delays_nobody(tmp_path: Path) -> None:
    with broker(tmp_path) as process, process.client() as client, Raw(process.address) as deaf:
        deaf.hello(enrol=enrolment("deaf", concurrency=2_000, batch="deaf"))
        with Raw(process.address) as worker:
            worker.hello(enrol=enrolment("good", batch="good", concurrency=1))
            big = "x" * 50_000
            client.submit_many([{"command": ["echo", big], "batch": "deaf"} for _ in range(2_000)])
            client.submit(["true"], batch="good")
            assigned = next_of(worker, wire.Assign)
            assert isinstance(assigned, wire.Assign)
            end(worker, assigned.tasks[0].ref, 0)
            assert [one.status for one in client.wait([2_001])] == ["succeeded"]
            assert client.status().counts["assigned"] > 0
