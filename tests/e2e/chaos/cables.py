"""What connects a peer to its broker, and can be cut: a network namespace of its own, or a relay that is stopped.

A cut loses packets without a word, as a pulled plug does; nobody is told that a connection ended.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Cable(Protocol):
    """`enter`: the words before a command that shall be at the far end. `address`: where the broker is from there."""

    enter: tuple[str, ...]
    address: str

    def cut(self) -> None: ...
    def mend(self) -> None: ...


class Wiring(Protocol):
    """Where the broker listens, and a cable to it for each peer."""

    kind: str
    listen: str

    def cable(self, name: str, broker: str) -> Cable: ...


# ---------------------------------------------------------------------------- network namespaces


class _Veth:
    def __init__(self, space: str, device: str, address: str) -> None:
        self.enter: tuple[str, ...] = ("nsenter", f"--net=/run/netns/{space}")
        self.address = address
        self._device = device

    def cut(self) -> None:
        _ip("link", "set", self._device, "down")

    def mend(self) -> None:
        _ip("link", "set", self._device, "up")


class _Namespaces:
    """A bridge with the broker, and a namespace for each peer: names and addresses that nothing else here has."""

    kind = "network namespaces"

    def __init__(self) -> None:
        self._mark = f"sq{secrets.token_hex(3)}"
        known = _ip("-4", "addr") + _ip("route")
        fresh = (f"10.{100 + secrets.randbelow(100)}.{secrets.randbelow(256)}." for _ in iter(int, 1))
        self._net = next(net for net in fresh if net not in known)
        self.listen = f"tcp://{self._net}1:*"
        self._names: list[str] = []
        _ip("link", "add", self._mark, "type", "bridge")
        try:
            _ip("addr", "add", f"{self._net}1/24", "dev", self._mark)
            _ip("link", "set", self._mark, "up")
        except BaseException:
            self.close()
            raise

    def cable(self, name: str, broker: str) -> Cable:
        number = len(self._names) + 1
        space, device = f"{self._mark}-{name}", f"{self._mark}v{number}"
        _ip("netns", "add", space)
        self._names.append(space)
        _ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("link", "set", device, "master", self._mark, "up")
        _ip("-n", space, "addr", "add", f"{self._net}{10 + number}/24", "dev", "eth0")
        for inner in ("lo", "eth0"):
            _ip("-n", space, "link", "set", inner, "up")
        return _Veth(space, device, broker)

    def close(self) -> None:
        """All that runs in them has ended: a process would keep its namespace, and the address, alive."""
        for space in self._names:
            _ip("netns", "del", space)
        _ip("link", "del", self._mark)


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


# ---------------------------------------------------------------------------- relays


class _Relay:
    def __init__(self, broker: str) -> None:
        self.enter: tuple[str, ...] = ()
        words = [sys.executable, "-m", "tests.e2e.chaos.relay", broker.removeprefix("tcp://")]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.address = f"tcp://127.0.0.1:{int(self._process.stdout.readline())}"

    def cut(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def mend(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class _Relays:
    kind = "relays"
    listen = "tcp://127.0.0.1:*"

    def __init__(self) -> None:
        self._relays: list[_Relay] = []

    def cable(self, name: str, broker: str) -> Cable:
        self._relays.append(_Relay(broker))
        return self._relays[-1]

    def close(self) -> None:
        for relay in self._relays:
            relay.close()


# ---------------------------------------------------------------------------- either


def no_namespaces() -> str:
    """Why this machine lets us have no network namespaces; "" when it does."""
    missing = [program for program in ("ip", "nsenter") if shutil.which(program) is None]
    if missing:
        return f"no network namespaces: {missing[0]} is not installed"
    probe = f"sq{secrets.token_hex(3)}"
    try:
        _ip("netns", "add", probe)
        try:
            _ip("link", "add", f"{probe}v", "type", "veth", "peer", "name", "eth0", "netns", probe)
        finally:
            _ip("netns", "del", probe)
    except OSError as problem:
        return f"no network namespaces: {problem}"
    return ""


@contextmanager
def wiring(kind: str) -> Iterator[Wiring]:
    """`namespaces`, or `relays`; nothing of it is left afterwards."""
    wires = _Namespaces() if kind == "namespaces" else _Relays()
    try:
        yield wires
    finally:
        wires.close()
