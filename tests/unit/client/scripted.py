"""A broker that says what a test tells it to: a ROUTER in a thread."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import zmq
from zmq.auth.thread import ThreadAuthenticator

from scitq import wire
from scitq.config import Server

Script = Callable[[Any], list[wire.Message]]
WELCOME = wire.Welcome(id=0, protocol=wire.PROTOCOL, mesh="mesh", epoch=1, version="0", role="admin")


class Keys:
    """Key pairs of a broker and of one peer that it accepts."""

    def __init__(self) -> None:
        self.public, self.secret = zmq.curve_keypair()
        self.peer_public, self.peer_secret = zmq.curve_keypair()

    def server(self, address: str) -> Server:
        return Server(
            address=address,
            server_key=self.public.decode(),
            public_key=self.peer_public.decode(),
            secret_key=self.peer_secret.decode(),
        )

    def callback(self, domain: str, key: bytes) -> bool:
        return key == self.peer_public


class ScriptedBroker:
    """Answers by `script`, where id 0 stands for the id of the question; `heard` holds all that was asked."""

    def __init__(self, address: str, script: Script, keys: Keys | None) -> None:
        self.heard: queue.Queue[Any] = queue.Queue()
        self._script = script
        self._context: zmq.Context[Any] = zmq.Context()
        self._authenticator: ThreadAuthenticator | None = None
        self._router = self._context.socket(zmq.ROUTER)
        if keys is not None:
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
            self._authenticator.configure_curve_callback("*", keys)
            self._router.curve_server = True
            self._router.curve_publickey, self._router.curve_secretkey = keys.public, keys.secret
        self._stop, self._stopped = self._context.socket(zmq.PAIR), self._context.socket(zmq.PAIR)
        self._stop.bind("inproc://stop")
        self._stopped.connect("inproc://stop")
        self._router.bind(address)
        self.address = self._router.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._stop.send(b"")
        self._thread.join()
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.destroy(linger=1_000)  # what was said is heard

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._stopped, zmq.POLLIN)
        while self._stopped not in dict(poller.poll()):
            peer, frame = self._router.recv_multipart()
            request: Any = wire.decode_request(frame)
            self.heard.put(request)
            answers = self._script(request)
            if isinstance(request, wire.Hello) and not answers:
                answers = [WELCOME]
            for answer in answers:
                same = getattr(answer, "id", None) == 0
                said = msgspec.structs.replace(answer, id=request.id) if same else answer
                self._router.send_multipart([peer, wire.encode(said)])


def silent(request: Any) -> list[wire.Message]:
    return []


@contextlib.contextmanager
def scripted(address: str, script: Script = silent, keys: Keys | None = None) -> Iterator[ScriptedBroker]:
    broker = ScriptedBroker(address, script, keys)
    try:
        yield broker
    finally:
        broker.close()
