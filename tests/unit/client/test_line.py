"""Three failures to connect, three different lines, in time."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
import zmq

from scitq import wire
from scitq.client import Client
from scitq.config import Server
from scitq.errors import NoServer, ScitqError, WrongKey, WrongVersion
from tests.unit.client.scripted import Keys, scripted

QUICK = 0.3


def failure(server: Server) -> ScitqError:
    with pytest.raises(ScitqError) as raised:
        Client(server, timeout=QUICK)
    assert server.address in str(raised.value)
    assert "\n" not in str(raised.value)
    return raised.value


def test_the_right_key_is_let_in() -> None:
    keys = Keys()
    with scripted("tcp://127.0.0.1:*", keys=keys) as broker, Client(keys.server(broker.address)):
        assert broker.heard.get(timeout=5) == wire.Hello(id=0, protocol=wire.PROTOCOL, version="2.0.0.dev0")


def test_nothing_there(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
    assert type(failure(Keys().server(address))) is NoServer
    missing = failure(Server(address=f"ipc://{tmp_path}/run/broker.sock", local=True))
    assert type(missing) is NoServer
    assert "scitq up" in str(missing)


def test_a_key_that_is_not_accepted() -> None:
    keys, others = Keys(), Keys()
    others.public = keys.public
    with scripted("tcp://127.0.0.1:*", keys=keys) as broker:
        refused = failure(others.server(broker.address))
    assert type(refused) is WrongKey
    assert "does not accept this key" in str(refused)


def test_a_server_key_that_is_anothers() -> None:
    keys, others = Keys(), Keys()
    others.peer_public, others.peer_secret = keys.peer_public, keys.peer_secret
    with scripted("tcp://127.0.0.1:*", keys=keys) as broker:
        refused = failure(others.server(broker.address))
    assert type(refused) is WrongKey
    assert "does not have the server key" in str(refused)


def test_a_broker_without_keys_is_not_taken_for_one_with() -> None:
    with scripted("tcp://127.0.0.1:*") as broker:
        assert type(failure(Keys().server(broker.address))) is WrongKey


def test_something_that_never_says_a_word() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        assert type(failure(Server(address=address))) is NoServer


def test_a_broker_that_stands_still_is_not_taken_for_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        still = failure(Keys().server(f"tcp://127.0.0.1:{mute.getsockname()[1]}"))
    assert type(still) is NoServer
    assert "says nothing" in str(still)


def test_a_broker_that_dies_while_it_is_greeted_is_not_taken_for_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as dying:

        def die() -> None:
            greeted, _ = dying.accept()
            dying.close()
            greeted.close()

        death = threading.Thread(target=die)
        death.start()
        gone = failure(Keys().server(f"tcp://127.0.0.1:{dying.getsockname()[1]}"))
        death.join()
    assert type(gone) is NoServer


def test_a_broker_that_takes_the_connection_and_says_nothing(tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.bind(f"ipc://{tmp_path}/s")
        assert "says nothing" in str(failure(Server(address=f"ipc://{tmp_path}/s")))


@pytest.mark.parametrize(
    "answer",
    [
        wire.Welcome(id=0, protocol=99, mesh="m", epoch=1, version="9", role="admin"),
        wire.Status(id=0),
    ],
)
def test_another_version(tmp_path: Path, answer: wire.Message) -> None:
    with scripted(f"ipc://{tmp_path}/s", lambda request: [answer]) as broker:
        assert type(failure(Server(address=broker.address))) is WrongVersion


def test_the_brokers_own_words_on_the_version(tmp_path: Path) -> None:
    def script(request: Any) -> list[wire.Message]:
        return [wire.Error(id=0, error={"code": "wrong_version", "message": "this broker speaks 7 and 6"})]

    with (
        scripted(f"ipc://{tmp_path}/s", script) as broker,
        pytest.raises(WrongVersion, match="speaks 7 and 6"),
    ):
        Client(Server(address=broker.address))
