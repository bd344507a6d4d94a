"""Keys: the server's own, the first admin's, and who may connect (ZAP, https://rfc.zeromq.org/spec/27/).

Files are TOML of mode 0600 in `<state>/access/`. Who a peer is follows from its key alone, looked up at every
message; on `ipc://` the folder's mode is the lock, and whoever gets in is admin.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import tomli_w
import zmq
from zmq.utils import z85

from scitq.errors import UsageError
from scitq.model import Access


class ServerKeys(NamedTuple):
    """The broker's key pair, in Z85."""

    public: str
    secret: str


def server_keys(folder: Path) -> ServerKeys:
    """The keys in `folder`, made at the first start; UsageError when the file is not what it should be."""
    path = folder / "server.toml"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        public, secret = zmq.curve_keypair()
        write_private(path, {"public_key": public.decode(), "secret_key": secret.decode()})
    try:
        content = tomllib.loads(path.read_text())
        return ServerKeys(str(content["public_key"]), str(content["secret_key"]))
    except (OSError, ValueError, KeyError) as problem:
        raise UsageError(f"{path} cannot be read as the server's keys: {problem}") from None


def write_private(path: Path, content: Mapping[str, str]) -> None:
    """Write a TOML file that only its owner can read, durably, never over an existing one."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        tomli_w.dump(dict(content), file)
        file.flush()
        os.fsync(file.fileno())


class Doorkeeper:
    """Answers libzmq's question whether a key may connect."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: Mapping[str, Access]) -> None:
        self._keys = keys
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind("inproc://zeromq.zap.01")

    def answer(self) -> None:
        """Answer all questions that have come."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            route, empty, version, request, _domain, _address, _identity, mechanism, *credentials = frames
            key = z85.encode(credentials[0]).decode() if mechanism == b"CURVE" and credentials else ""
            known = self._keys.get(key)
            verdict = (b"200", b"OK", key.encode()) if known else (b"400", b"this key is not known here", b"")
            self.socket.send_multipart([route, empty, version, request, *verdict, b""])

    def close(self) -> None:
        """Nobody is let in any more."""
        self.socket.close()
