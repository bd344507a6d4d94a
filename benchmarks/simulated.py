"""Workers without processes: each answers an assignment with its start and end at once."""

import time

import zmq

from scitq import wire
from scitq.config import Server
from scitq.model import EVERY_BATCH, Outcome

OUTCOME = Outcome(status="succeeded", exit_code=0, run_seconds=0.001)


class SimulatedWorker:
    """One connection that says it has so many slots."""

    def __init__(
        self,
        server: Server,
        name: str,
        slots: int,
        batch: str = EVERY_BATCH,
        context: "zmq.Context[zmq.Socket[bytes]] | None" = None,
    ) -> None:
        self.socket = (context or zmq.Context.instance()).socket(zmq.DEALER)
        self.socket.linger = 1_000
        self.socket.rcvhwm = self.socket.sndhwm = 0
        if server.server_key:
            self.socket.curve_serverkey = server.server_key.encode()
            self.socket.curve_publickey = server.public_key.encode()
            self.socket.curve_secretkey = server.secret_key.encode()
        self.socket.connect(server.address)
        enrol = wire.Enrolment(
            worker=f"id-{name}",
            name=name,
            batch=batch,
            concurrency=slots,
            prefetch=0,
            hostname="h",
            cpus=1,
            memory=1,
            boot="b",
        )
        self.say(wire.Hello(id=1, protocol=wire.PROTOCOL, enrol=enrol))

    def say(self, message: wire.Message) -> None:
        """Send one message."""
        self.socket.send(wire.encode(message))

    def leave(self) -> None:
        """Say goodbye and hang up."""
        self.say(wire.Bye())
        self.socket.close()

    def serve(self) -> int:
        """Answer what has come; how many tasks that were."""
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
            self.say(wire.Report(started=tuple(started), ends=tuple(ends)))
        return len(ends)


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
