"""Who is connected: routing ids, the workers behind them, and when each was last heard.

Liveness counts only time during which the broker itself ran: its clock moves on by at most a second a look, so a
broker that was stopped, or slept, finds nobody silent.
"""

from scitq.broker.commands import Peer

MOST_PEERS = 100_000
STEP_LIMIT = 1.0


class OwnClock:
    """Seconds during which the broker ran."""

    def __init__(self, monotonic: float) -> None:
        self.now = 0.0
        self._last = monotonic

    def look(self, monotonic: float) -> float:
        """Move on to this reading of the machine's monotonic clock."""
        self.now += min(max(monotonic - self._last, 0.0), STEP_LIMIT)
        self._last = monotonic
        return self.now


class Peers:
    """Connections by routing id, and workers by number."""

    def __init__(self) -> None:
        self._peers: dict[bytes, Peer] = {}
        self._heard: dict[bytes, float] = {}
        self._routes: dict[int, bytes] = {}
        self._workers: dict[int, float] = {}  # when each worker of the state was last heard

    def __len__(self) -> int:
        return len(self._peers)

    def get(self, route: bytes) -> Peer | None:
        """The connection, if it has said hello."""
        return self._peers.get(route)

    def heard(self, peer: Peer, now: float) -> None:
        """Something came from it."""
        self._heard[peer.route] = now
        if peer.worker is not None and self._routes.get(peer.worker) == peer.route:
            self._workers[peer.worker] = now

    def add(self, peer: Peer, now: float) -> None:
        """It said hello; the oldest connections without a worker give way when there are too many."""
        self._peers[peer.route] = peer
        self._heard[peer.route] = now
        if peer.worker is not None:
            old = self._routes.get(peer.worker)
            if old is not None and old != peer.route and old in self._peers:
                self._peers[old] = self._peers[old]._replace(worker=None)
            self._routes[peer.worker] = peer.route
            self._workers[peer.worker] = now
        if len(self._peers) > MOST_PEERS:
            idle = [route for route, peer in self._peers.items() if peer.worker is None]
            for route in sorted(idle, key=self._heard.__getitem__)[: MOST_PEERS // 10]:
                self.drop(route)

    def drop(self, route: bytes) -> int | None:
        """The connection is no more; the worker that was behind it, if any."""
        peer = self._peers.pop(route, None)
        self._heard.pop(route, None)
        if peer is None or peer.worker is None or self._routes.get(peer.worker) != route:
            return None
        del self._routes[peer.worker]
        return peer.worker

    def route_of(self, worker: int) -> bytes | None:
        """Where a worker is connected."""
        return self._routes.get(worker)

    def worker_at(self, route: bytes) -> int | None:
        """The worker behind a connection."""
        peer = self._peers.get(route)
        return None if peer is None else peer.worker

    def named(self, name: str) -> list[Peer]:
        """The connections of a key's name."""
        return [peer for peer in self._peers.values() if peer.name == name]

    def expect(self, workers: list[int], now: float) -> None:
        """These workers are known from before the start: each gets a whole new grace."""
        for number in workers:
            self._workers.setdefault(number, now)

    def forget_worker(self, number: int) -> None:
        """The worker is lost or deleted."""
        self._workers.pop(number, None)
        route = self._routes.pop(number, None)
        if route is not None and route in self._peers:
            self._peers[route] = self._peers[route]._replace(worker=None)

    def silent(self, now: float, seconds: float) -> list[int]:
        """The workers not heard for so long."""
        return [number for number, heard in self._workers.items() if now - heard > seconds]
