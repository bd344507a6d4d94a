"""Faults at random under one seed: any part is killed and started again, stopped and woken, cut off and let back."""

import heapq
import os
import random
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from tests.e2e.chaos.mesh import Mesh, Peer
from tests.integration.mesh import BrokerProcess

Part = Peer | BrokerProcess
AMID = 0.7  # how often a strike is followed by one amid a submit


class Storm:
    """What a seed decides: who is struck, how and for how long; `story` tells it."""

    def __init__(self, mesh: Mesh, seed: int) -> None:
        self._mesh = mesh
        self._random = random.Random(seed)
        self._began = time.monotonic()
        self._parts: dict[str, Part] = {"broker": mesh.broker, **{peer.name: peer for peer in mesh.peers}}
        self._struck: set[str] = set()
        self._later: list[tuple[float, str, Callable[[], None]]] = []  # what makes each of them whole again
        self.story: list[str] = [f"seed {seed}"]

    def rage(self, seconds: float) -> None:
        """Strike again and again for so long; then make everything whole."""
        while (now := time.monotonic()) < self._began + seconds:
            self._wait(now + self._random.uniform(0.1, 0.8))
            if whole := sorted(set(self._parts) - self._struck):
                self._strike(self._random.choice(whole))
            if not self._struck & {"broker", "c1"} and self._random.random() < AMID:
                self._kill_amid_a_submit("c1")
        while self._later:
            self._heal()

    def _strike(self, name: str) -> None:
        part = self._parts[name]
        past_grace = self._mesh.grace + 1.0
        seconds = self._random.choice((0.0, 0.0, 0.2, 0.2, 0.5, 0.5, 1.0, past_grace))
        strikes = [self._kill, self._kill, self._stop]
        if isinstance(part, Peer):
            strikes.append(self._cut)
            if (part.folder / "keepers").is_dir():  # a worker
                strikes.append(self._kill_keeper)
        self._random.choice(strikes)(name, part, seconds)

    def _kill(self, name: str, part: Part, seconds: float) -> None:
        self._note(f"kill -9 of {name}, started again after {seconds:g} s")
        part.kill()
        self._mend(name, seconds, part.start)

    def _kill_amid_a_submit(self, client: str) -> None:
        """The client, or the broker, between the question and the answer, if one is asked by and by."""
        ledger = self._mesh.folder / f"{client}.ledger"
        deadline = time.monotonic() + 1.5
        known = ledger.stat().st_size if ledger.exists() else 0
        while time.monotonic() < deadline:
            self._watch(0.001)
            with suppress(FileNotFoundError):
                if b"asked" in ledger.read_bytes()[known:]:
                    self._watch(self._random.uniform(0.0, 0.03))
                    victim = self._random.choice([client, client, "broker"])
                    self._kill(victim, self._parts[victim], 0.0)
                    return

    def _stop(self, name: str, part: Part, seconds: float) -> None:
        self._note(f"{name} stands still for {seconds:g} s")
        process = part.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        self._mend(name, seconds, lambda: process.send_signal(signal.SIGCONT))

    def _cut(self, name: str, part: Part, seconds: float) -> None:
        assert isinstance(part, Peer)
        self._note(f"{name} is cut off for {seconds:g} s")
        part.cable.cut()
        self._mend(name, seconds, part.cable.mend)

    def _kill_keeper(self, name: str, part: Part, seconds: float) -> None:
        assert isinstance(part, Peer)
        keepers = [
            pid
            for pid, words in self._mesh.processes().items()
            if "scitq.node.keeper" in words and str(part.folder) in words
        ]
        if keepers:
            self._note(f"kill -9 of a keeper of {name}")
            with suppress(ProcessLookupError):
                os.kill(self._random.choice(sorted(keepers)), signal.SIGKILL)

    def _mend(self, name: str, seconds: float, mend: Callable[[], object]) -> None:
        self._struck.add(name)

        def heal() -> None:
            mend()
            self._struck.discard(name)
            self._note(f"{name} is whole")

        heapq.heappush(self._later, (time.monotonic() + seconds, f"{len(self.story)}", heal))

    def _wait(self, until: float) -> None:
        """Mend what is due meanwhile; nobody may die who was not killed."""
        while (now := time.monotonic()) < until:
            if self._later and self._later[0][0] <= now:
                self._heal()
                continue
            due = min(until, self._later[0][0]) if self._later else until
            self._watch(due - now)

    def _heal(self) -> None:
        heapq.heappop(self._later)[2]()

    def _watch(self, seconds: float) -> None:
        poll = select.poll()
        names: dict[int, str] = {}
        for name, part in self._parts.items():
            if part.process is not None and part.process.poll() is None:
                names[os.pidfd_open(part.process.pid)] = name
            else:
                assert name in self._struck, f"{name} ended by itself"
        for descriptor in names:
            poll.register(descriptor, select.POLLIN)
        ended = [names[descriptor] for descriptor, _ in poll.poll(max(seconds, 0.0) * 1000)]
        for descriptor in names:
            os.close(descriptor)
        assert not ended, f"{ended[0]} ended by itself"

    def _note(self, line: str) -> None:
        self.story.append(f"{time.monotonic() - self._began:6.2f} s  {line}")
