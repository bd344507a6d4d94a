"""What is Azure's own: beside the table of behaviours."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import (
    AccountSasPermissions,
    BlobServiceClient,
    ContentSettings,
    ResourceTypes,
    generate_account_sas,
)

from scitq.fetch.backends.azure import Backend
from scitq.fetch.settings import settings
from scitq.fetch.storage import FetchError, NotThere, Refused, Watch
from scitq.fetch.uri import parse
from tests.servers.azurite import azurite

MIB = 1 << 20
KEY = base64.b64encode(b"a key").decode()


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with azurite(tmp_path_factory.mktemp("azurite"), "lab", KEY) as told:
        with BlobServiceClient.from_connection_string(told) as witness:
            witness.create_container("box")
            witness.create_container("open", public_access="blob")
        yield told


@pytest.fixture
def backend(connection: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    yield made(monkeypatch, AZURE_STORAGE_CONNECTION_STRING=connection)
    settings.cache_clear()


def made(monkeypatch: pytest.MonkeyPatch, address: str = "azure://x", **environ: str) -> Backend:
    for name in ("CONNECTION_STRING", "ACCOUNT", "KEY", "SAS_TOKEN"):
        monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    return Backend(parse(address))


@pytest.mark.parametrize("size", [0, 1, 4 * MIB + 1, 65 * MIB])
def test_whatever_the_size_it_goes_there_and_back(
    size: int, backend: Backend, connection: str, tmp_path: Path
) -> None:
    content = hashlib.sha256(b"x").digest() * (size // 32 + 1)
    source, watch = tmp_path / "source", Watch()
    source.write_bytes(content[:size])

    assert backend.upload(str(source), "box/a/ü b", watch) == size
    assert watch.bytes == size

    entry = backend.stat("box/a/ü b")
    assert entry.size == size
    assert backend.download("box/a/ü b", entry, str(tmp_path / "back"), Watch()) == size
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    with BlobServiceClient.from_connection_string(connection) as witness:
        assert witness.get_blob_client("box", "a/ü b").download_blob().readall() == source.read_bytes()
    with backend.open("box/a/ü b") as stream:
        assert backend.write(stream, -1, "box/a/copied", Watch()) == size
    assert backend.copy("box/a/copied", "box/b/copied", Watch())
    assert backend.stat("box/b/copied").size == size


def test_a_shared_access_signature_is_enough(
    connection: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sas = generate_account_sas(
        "lab",
        KEY,
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(read=True, write=True, list=True, create=True, delete=True),
        datetime.now(UTC) + timedelta(hours=1),
    )
    endpoint = connection.split("BlobEndpoint=")[1].rstrip(";")
    backend = made(
        monkeypatch,
        AZURE_STORAGE_CONNECTION_STRING=f"BlobEndpoint={endpoint};AccountName=lab;SharedAccessSignature={sas}",
    )
    (tmp_path / "x").write_bytes(b"12345")

    backend.upload(str(tmp_path / "x"), "box/sas/é", Watch())
    (entry,) = backend.walk("box/sas")
    assert backend.download("box/sas/é", entry, str(tmp_path / "y"), Watch()) == 5
    with backend.open("box/sas/é") as stream:
        assert stream.read() == b"12345"
    assert list(backend.delete(["box/sas/é", "box/sas/none"], Watch())) == [("box/sas/é", ""), ("box/sas/none", "")]


def test_a_public_container_is_read_without_keys(
    backend: Backend, connection: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    backend.upload(str(tmp_path / "x"), "open/x", Watch())
    backend.upload(str(tmp_path / "x"), "box/x", Watch())
    endpoint = connection.split("BlobEndpoint=")[1].rstrip(";")
    (tmp_path / "fetch.toml").write_text(
        f'[accounts.public]\nkind = "azure"\naccount = "lab"\nendpoint = "{endpoint}"\nanonymous = true\n'
    )
    anyone = made(monkeypatch, "azure@public://x", SCITQ_FETCH_CONFIG=str(tmp_path / "fetch.toml"))

    entry = anyone.stat("open/x")
    assert anyone.download("open/x", entry, str(tmp_path / "y"), Watch()) == 5
    with pytest.raises(FetchError):
        anyone.stat("box/x")


def test_the_keys_are_wrong(connection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = made(monkeypatch, AZURE_STORAGE_CONNECTION_STRING=connection.replace(KEY, "d3Jvbmc="))
    with pytest.raises(Refused, match=r"^(the storage does not accept these keys|access denied) "):
        backend.stat("box/x")


def test_what_is_not_there(backend: Backend) -> None:
    with pytest.raises(NotThere, match="no such file"):
        backend.stat("box/none")
    with pytest.raises(NotThere, match="no such container"):
        list(backend.walk("none/"))


def test_a_name_that_azure_would_change_is_refused(backend: Backend, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(FetchError, match="backslash"):
        backend.upload(str(tmp_path / "x"), "box/a\\b", Watch())


def test_an_md5_that_is_none_of_the_content_is_told(backend: Backend, connection: str, tmp_path: Path) -> None:
    wrong = ContentSettings(content_md5=bytearray(hashlib.md5(b"else").digest()))
    with BlobServiceClient.from_connection_string(connection) as witness:
        blob = witness.get_blob_client("box", "damaged")
        blob.upload_blob(b"12345", overwrite=True)
        blob.set_http_headers(wrong)
    entry = backend.stat("box/damaged")
    with pytest.raises(FetchError, match="its MD5 differs"):
        backend.download("box/damaged", entry, str(tmp_path / "x"), Watch())
    assert list(tmp_path.iterdir()) == []


def test_marks_of_folders_are_no_files(backend: Backend, connection: str) -> None:
    with BlobServiceClient.from_connection_string(connection) as witness:
        witness.get_blob_client("box", "hdi/sub").upload_blob(b"", metadata={"hdi_isfolder": "true"})
        witness.get_blob_client("box", "hdi/sub/x").upload_blob(b"1")
    assert [entry.name for entry in backend.walk("box/hdi")] == ["sub/x"]
    assert [entry.name for entry in backend.children("box/hdi")] == ["sub/"]
    with pytest.raises(FetchError, match="is a folder"):
        backend.stat("box/hdi/sub")
