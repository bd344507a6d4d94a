"""Keys by the command line: made, used, listed, revoked, against a broker in the foreground."""

import json
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.home import DEADLINE, Home


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    fresh = Home()
    yield fresh
    fresh.close()


@pytest.fixture(scope="module")
def admin(home: Home) -> Iterator[str]:
    """The access file of the admin of a broker that listens on tcp."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with home.start("broker", "--state", "served", "--bind", f"tcp://127.0.0.1:{port}") as broker:
        assert broker.stderr is not None
        said = b""
        while b"listens" not in said:
            assert select.select([broker.stderr], [], [], DEADLINE)[0]
            said += broker.stderr.readline()
        yield str(home.folder / "served" / "access" / "admin.toml")
        broker.terminate()
        broker.communicate(timeout=DEADLINE)
        assert broker.returncode == 0


def test_a_key_is_made_used_and_revoked(home: Home, admin: str) -> None:
    user = home.folder / "user.toml"
    made = home.scitq("manage", "access", "create", "--access", admin, "--role", "user", "ann", "--out", str(user))
    assert made.code == 0, made
    assert user.stat().st_mode & 0o777 == 0o600

    launched = home.scitq("launch", "--access", str(user), "-b", "lonely", "true")
    assert launched.out == "Task queued with task id: 1\n"
    assert "scitq node --batch lonely" in launched.err
    (task,) = json.loads(home.scitq("manage", "task", "list", "--access", str(user), "--json").out)
    assert task["submitted_by"] == "ann"
    refused = home.scitq("manage", "access", "list", "--access", str(user))
    assert (refused.code, refused.err.count("\n")) == (1, 1)

    assert home.scitq("manage", "access", "revoke", "--access", admin, "ann").code == 0
    again = home.scitq("status", "--access", str(user))
    assert (again.code, again.err.count("\n")) == (1, 1)
    assert "does not accept this key" in again.err
    keys = json.loads(home.scitq("manage", "--access", admin, "access", "list", "--json").out)
    assert {key["name"]: key["revoked_at"] is None for key in keys} == {"admin": True, "ann": False}


def test_an_access_file_is_never_overwritten(home: Home, admin: str) -> None:
    out = home.folder / "kept.toml"
    out.write_text("precious")

    done = home.scitq("manage", "access", "create", "--access", admin, "--role", "worker", "w", "--out", str(out))

    assert (done.code, done.out) == (1, "")
    assert "exists already" in done.err
    assert out.read_text() == "precious"
    assert '"w"' not in home.scitq("manage", "access", "list", "--access", admin, "--json").out


def test_a_key_that_cannot_be_written_is_not_left_behind(home: Home, admin: str) -> None:
    out = str(Path("nowhere") / "w.toml")

    done = home.scitq("manage", "access", "create", "--access", admin, "--role", "worker", "lost", "--out", out)

    assert (done.code, done.out) == (2, "")
    keys = json.loads(home.scitq("manage", "access", "list", "--access", admin, "--json").out)
    assert all(key["revoked_at"] is not None for key in keys if key["name"] == "lost")


def test_a_second_broker_on_one_state_is_refused(home: Home, admin: str) -> None:
    done = home.scitq("broker", "--state", "served")

    assert (done.code, done.out) == (1, "")
    assert "is in use by the broker with pid" in done.err
    assert done.err.count("\n") == 1


def test_the_owner_of_the_state_needs_no_key(home: Home, admin: str) -> None:
    (status,) = json.loads(home.scitq("status", "--state", "served", "--json").out)

    assert status["workers"] == {}


def test_a_state_is_looked_after(home: Home, admin: str) -> None:
    assert home.scitq("broker", "check", "--state", "served").out.endswith("\nsound\n")
    facts = [json.loads(line) for line in home.scitq("broker", "journal", "--state", "served").out.splitlines()]
    assert facts[0]["events"][0]["event"] == "MeshCreated"
    assert home.scitq("broker", "backup", "--state", "served", "copy.tar").code == 0
    assert home.scitq("broker", "backup", "--state", "served", "copy.tar").code == 1
    assert home.scitq("broker", "restore", "--state", "second", "copy.tar").out.endswith("epoch 2 from now on\n")
    assert home.scitq("broker", "check", "--state", "second").code == 0
    assert home.scitq("broker", "repair", "--state", "second").code == 0
    assert home.scitq("broker", "check", "--state", "nowhere").code == 1
