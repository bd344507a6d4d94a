"""The broker alone: simulated workers answer at once, all rules, journal synced.

`python -m benchmarks.broker [--tasks N] [--workers N] [--held N]`: tasks/s of submit, assign, start and end; then what
a queued and an ended task cost in memory and on disk, and how long a start takes that holds so many of both.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import zmq

from scitq import wire
from scitq.broker import segments
from scitq.client import Client
from scitq.config import Server
from scitq.model import Outcome

OUTCOME = Outcome(status="succeeded", exit_code=0, run_seconds=0.001)


class Bare:
    """A broker process and its memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"ipc://{folder}/s"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Seconds until it answers."""
        begin = time.perf_counter()
        ready, told = os.pipe()
        command = [sys.executable, "-m", "scitq.broker", "--state", f"{self.folder}/state", "--bind", self.address]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--ready-fd", str(told)], pass_fds=[told], stderr=log)
        os.close(told)
        with os.fdopen(ready, "rb") as stream:
            stream.readline()
        with self.client() as client:
            client.status()
        return time.perf_counter() - begin

    def stop(self) -> None:
        """In good order."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait()

    def client(self) -> Client:
        """A client of it."""
        return Client(Server(address=self.address), timeout=30.0, notice=lambda line: None)

    def rss(self) -> int:
        """Bytes of memory it holds."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def disk(self) -> int:
        """Bytes of the journal's frames (its files are allocated ahead)."""
        chain = segments.read_chain(self.folder / "state" / "journal")
        return sum(len(frame.body) for source in chain.sources for frame in source.frames())


class SimulatedWorker:
    """Answers each assignment with its start and end at once."""

    def __init__(self, address: str, name: str, slots: int) -> None:
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvhwm = self.socket.sndhwm = 0
        self.socket.connect(address)
        enrol = wire.Enrolment(
            worker=f"id-{name}",
            name=name,
            batch="*",
            concurrency=slots,
            prefetch=0,
            hostname="h",
            cpus=1,
            memory=1,
            boot="b",
        )
        self.socket.send(wire.encode(wire.Hello(id=1, protocol=wire.PROTOCOL, enrol=enrol)))

    def serve(self) -> int:
        """Answer what has come; how many tasks that were."""
        done = 0
        ends: list[wire.End] = []
        started: list[wire.Started] = []
        while True:
            try:
                answer = wire.decode_answer(self.socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                break
            if isinstance(answer, wire.Assign):
                now = time.time()
                started += [wire.Started(task.ref, "running", now) for task in answer.tasks]
                ends += [wire.End(task.ref, OUTCOME, now, now) for task in answer.tasks]
        if ends:
            self.socket.send(wire.encode(wire.Report(started=tuple(started), ends=tuple(ends))))
            done = len(ends)
        return done


def drain(workers: list[SimulatedWorker], count: int) -> None:
    """Serve until so many tasks have been answered."""
    poller = zmq.Poller()
    for worker in workers:
        poller.register(worker.socket, zmq.POLLIN)
    while count > 0:
        for worker in workers:
            count -= worker.serve()
        if not any(int(worker.socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN for worker in workers):
            poller.poll(100)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broker")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--held", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o700)
        broker = Bare(folder)
        broker.start()
        with broker.client() as client:
            empty = broker.rss()
            begin = time.perf_counter()
            client.submit_array({"command": ["process", "{n}"]}, given.held, {"n": range(given.held)})
            seconds = time.perf_counter() - begin
            array = broker.rss()
            print(
                f"array of {given.held}: {seconds:.2f} s to durable, {(array - empty) / given.held:.1f} B of RAM a task"
            )
            begin = time.perf_counter()
            different = [
                {"command": ["process", f"/data/sample-{n}.fastq.gz", str(n)], "name": f"s{n}"}
                for n in range(100_000)
            ]
            made = time.perf_counter()
            client.submit_many(different)
            seconds = time.perf_counter() - made
            many = broker.rss()
            print(
                f"100,000 different: {100_000 / seconds:,.0f}/s to durable, {(many - array) / 100_000:.0f} B of RAM a task"
            )
            workers = [SimulatedWorker(broker.address, f"w{n}", 64) for n in range(given.workers)]
            before, disk = broker.rss(), broker.disk()
            begin = time.perf_counter()
            drain(workers, given.tasks)
            seconds = time.perf_counter() - begin
            after = broker.rss()
            print(f"assign, start and end: {given.tasks / seconds:,.0f} tasks/s")
            print(
                f"an ended task: {(after - before) / given.tasks:.0f} B of RAM, {(broker.disk() - disk) / given.tasks:.0f} B of disk"
            )
            drain(workers, given.held + 100_000 - given.tasks - 64 * given.workers)
        for worker in workers:
            worker.socket.close()
        broker.stop()
        print(f"start: {broker.start():.2f} s, {broker.rss() / 2**20:.0f} MiB")
        broker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
