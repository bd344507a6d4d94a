"""Keys and roles over tcp: who may what, and what becomes of a revoked key."""

from pathlib import Path

import pytest
import zmq

from scitq.client import Client
from scitq.config import AccessFile, Server, write_access
from scitq.errors import Refused, ScitqError, WrongKey
from tests.integration.mesh import BrokerProcess, broker, until


def grant(process: BrokerProcess, folder: Path, name: str, role: str) -> Path:
    with process.client() as admin:
        file = admin.access_create(name, role, address=process.address)  # type: ignore[arg-type]
    write_access(folder / f"{name}.toml", file)
    return folder / f"{name}.toml"


def test_the_first_start_writes_private_key_files(tmp_path: Path) -> None:
    with broker(tmp_path, tcp=True) as process:
        for name in ("server.toml", "admin.toml"):
            assert (process.state / "access" / name).stat().st_mode & 0o777 == 0o600
        with process.client() as admin:
            assert admin.submit(["true"]) == 1


def test_a_user_has_tasks_but_no_keys(tmp_path: Path) -> None:
    with broker(tmp_path, tcp=True) as process:
        access = grant(process, tmp_path, "ann", "user")
        with process.client_as(access) as ann:
            assert ann.submit(["true"]) == 1
            assert next(iter(ann.tasks([1]))).submitted_by == "ann"
            with pytest.raises(Refused):
                ann.access_list()
            with pytest.raises(Refused):
                ann.access_create("eve", "admin")


def test_a_worker_key_has_no_tasks(tmp_path: Path) -> None:
    with broker(tmp_path, tcp=True) as process:
        access = grant(process, tmp_path, "gpu", "worker")
        with process.client_as(access) as worker, pytest.raises(Refused):
            worker.submit(["true"])


def test_an_unknown_key_is_told_so(tmp_path: Path) -> None:
    with broker(tmp_path, tcp=True) as process:
        with process.client() as admin:
            server_key = admin.server.server_key
        public, secret = zmq.curve_keypair()
        stranger = Server(
            address=process.address, server_key=server_key, public_key=public.decode(), secret_key=secret.decode()
        )
        with pytest.raises(WrongKey), Client(stranger) as client:
            client.status()


def test_a_revoked_key_is_refused_at_once_on_its_open_connection(tmp_path: Path) -> None:
    with broker(tmp_path, tcp=True) as process:
        access = grant(process, tmp_path, "ann", "user")
        with process.client_as(access) as ann:
            ann.submit(["true"])
            with process.client() as admin:
                admin.access_revoke("ann")
            with pytest.raises(ScitqError):
                ann.submit(["true"])
        with process.client() as admin:
            assert [task.id for task in admin.tasks()] == [1]
            revoked = {key.name: key.revoked_at is not None for key in admin.access_list()}
            assert revoked == {"admin": False, "ann": True}


def test_an_access_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    key = "0" * 40
    file = AccessFile(name="a", role="user", address="tcp://h:1", server_key=key, public_key=key, secret_key=key)
    write_access(path, file)
    with pytest.raises(ScitqError):
        write_access(path, file)
    until(lambda: path.stat().st_mode & 0o777 == 0o600, "mode 0600")
