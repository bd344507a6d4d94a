"""Questions that only a worker can answer: handed on to it under a number of the broker's, the answer handed back."""

from typing import NamedTuple

from msgspec.structs import replace

from scitq import wire
from scitq.broker.commands import Peer, Send
from scitq.broker.state import State
from scitq.errors import NotFound, Unavailable

PATIENCE = 600.0  # seconds that a worker may take: to remove what lies there may last

Question = wire.WorkerResources | wire.WorkerClean | wire.WorkerProgress
Reply = wire.ResourceList | wire.Cleaned | wire.ProgressIs


class _Open(NamedTuple):
    peer: bytes
    id: int
    worker: int
    name: str
    deadline: float


class Relays:
    """The open questions; volatile: after a restart their clients ask again."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    def ask(self, state: State, peer: Peer, message: Question, monotonic: float) -> Send:
        """The question for its worker; NotFound, Unavailable while that is away."""
        worker = state.worker_named(message.worker)
        if worker is None:
            raise NotFound(f"there is no worker {message.worker}")
        if worker.status != "online":
            raise Unavailable(f"worker {worker.name} is {worker.status}: it cannot be asked now")
        self._last += 1
        self._open[self._last] = _Open(peer.route, message.id, worker.number, worker.name, monotonic + PATIENCE)
        return Send(worker.number, replace(message, id=self._last))

    def answered(self, peer: Peer, message: Reply) -> list[Send]:
        """The answer for who asked; of any other worker than the one asked it is dropped."""
        one = self._open.get(message.id)
        if one is None or one.worker != peer.worker:
            return []
        del self._open[message.id]
        return [Send(one.peer, replace(message, id=one.id))]

    def settle(self, state: State, monotonic: float) -> list[Send]:
        """Tell those whose worker has left, or does not answer."""
        sends: list[Send] = []
        for number, one in list(self._open.items()):
            worker = state.workers.get(one.worker)
            if worker is not None and worker.status == "online" and monotonic < one.deadline:
                continue
            del self._open[number]
            error = {"code": Unavailable.code, "message": f"worker {one.name} has not answered"}
            sends.append(Send(one.peer, wire.Error(id=one.id, error=error)))
        return sends
