"""The storages that the table of behaviours is tried on: each gives an empty folder, and says what it can."""

import base64
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

from tests.servers.azurite import azurite
from tests.servers.moto import moto_s3
from tests.servers.pyftpd import PASSWORD, USER, pyftpd
from tests.servers.rclone import KEYS, rclone_s3
from tests.servers.vsftpd import vsftpd


class Storage(NamedTuple):
    """An empty folder on a running server, or here."""

    address: str  # of the folder, without a final `/`
    environment: Mapping[str, str] = MappingProxyType({})  # with which it can be reached
    refused: Mapping[str, str] = MappingProxyType({})  # with which it is denied
    refused_address: str = ""  # with which it is denied, where that is told in the address
    odd_names: tuple[str, ...] = ()  # names that this one can hold, beside those that all can
    has_folders: bool = False  # whether an empty folder is anything
    port: int = 0  # of its server, when all goes through that
    many: int = 5_000  # files; fewer where the server is too slow for that, yet more than a page of a listing


@contextmanager
def file(folder: Path) -> Iterator[Storage]:
    """A local disk."""
    yield Storage(
        f"{folder}/place", odd_names=("back\\slash", "new\nline", os.fsdecode(b"not-utf8-\xff")), has_folders=True
    )


@contextmanager
def s3(folder: Path) -> Iterator[Storage]:
    """S3 by rclone: keys are checked."""
    (folder / "root/bucket").mkdir(parents=True)
    with rclone_s3(folder / "root") as endpoint:
        account = f'[s3]\nendpoint = "{endpoint}"\naccess_key = "{KEYS[0]}"\nsecret_key = '
        right, wrong = (_config(folder, f'{account}"{secret}"\n') for secret in (KEYS[1], "WRONGKEY"))
        yield Storage("s3://bucket/place", right, wrong, port=int(endpoint.rpartition(":")[2]))


@contextmanager
def s3_by_moto(folder: Path) -> Iterator[Storage]:
    """S3 by moto: answers are shaped as Amazon's."""
    import boto3

    with moto_s3() as endpoint:
        keys = dict(zip(("aws_access_key_id", "aws_secret_access_key"), KEYS, strict=True))
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="bucket")
        client.close()
        account = f'[s3]\nendpoint = "{endpoint}"\naccess_key = "{KEYS[0]}"\nsecret_key = "{KEYS[1]}"\n'
        port = int(endpoint.rpartition(":")[2])
        yield Storage("s3://bucket/place", _config(folder, account), port=port, many=1_200)


@contextmanager
def azure(folder: Path) -> Iterator[Storage]:
    """Azure by azurite."""
    from azure.storage.blob import BlobServiceClient

    key, other = (base64.b64encode(text * 8).decode() for text in (b"a key.. ", b"another "))
    with azurite(folder / "root", "lab", key) as connection:
        with BlobServiceClient.from_connection_string(connection) as client:
            client.create_container("container").close()
        account = '[azure]\nconnection_string = "{}"\n'
        right, wrong = (_config(folder, account.format(connection.replace(key, one))) for one in (key, other))
        port = int(connection.rpartition(":")[2].partition("/")[0])
        yield Storage("azure://container/place", right, wrong, port=port, many=1_200)


def _config(folder: Path, content: str) -> dict[str, str]:
    """The environment in which these are the settings."""
    path = folder / f"{hashlib.sha256(content.encode()).hexdigest()[:8]}.toml"
    path.write_text(content)
    path.chmod(0o600)
    return {"SCITQ_FETCH_CONFIG": str(path)}


@contextmanager
def ftp(folder: Path) -> Iterator[Storage]:
    """FTP by pyftpdlib, which lists as RFC 3659 says, with a user and a password."""
    (folder / "root").mkdir()
    with pyftpd(folder / "root") as host:
        user = f"{USER}:{quote(PASSWORD, safe='')}"
        address, wrong = f"ftp://{user}@{host}/place", f"ftp://{USER}:wrong@{host}/place"
        yield Storage(address, refused_address=wrong, odd_names=("back\\slash",), has_folders=True)


@contextmanager
def ftp_listed(folder: Path) -> Iterator[Storage]:
    """FTP by vsftpd, anonymous, which lists as `ls -l` does."""
    (folder / "root").mkdir()
    with vsftpd(folder / "root") as host:
        address, wrong = f"ftp://{host}/place/place", f"ftp://me:wrong@{host}/place/place"
        odd = ("back\\slash", "latin-1 \udce9")
        yield Storage(address, refused_address=wrong, odd_names=odd, has_folders=True)


STORAGES: dict[str, Callable[[Path], AbstractContextManager[Storage]]] = {
    "file": file,
    "s3": s3,
    "moto": s3_by_moto,
    "azure": azure,
    "ftp": ftp,
    "vsftpd": ftp_listed,
}
DENYING = ("s3", "azure", "ftp", "vsftpd")  # moto checks no keys, and root may read every disk
BY_ONE_PORT = ("s3", "moto", "azure")  # FTP opens a connection for each file
