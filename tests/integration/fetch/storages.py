"""The storages that the table of behaviours is tried on: each gives an empty folder, and says what it can."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from tests.servers.rclone import KEYS, rclone_s3


class Storage(NamedTuple):
    """An empty folder on a running server, or here."""

    address: str  # of the folder, without a final `/`
    environment: Mapping[str, str] = MappingProxyType({})  # with which it can be reached
    refused: Mapping[str, str] | None = None  # with which it is denied
    odd_names: tuple[str, ...] = ()  # names that this one can hold, beside those that all can
    has_folders: bool = False  # whether an empty folder is anything


@contextmanager
def file(folder: Path) -> Iterator[Storage]:
    """A local disk."""
    yield Storage(f"{folder}/place", odd_names=("new\nline", os.fsdecode(b"not-utf8-\xff")), has_folders=True)


@contextmanager
def s3(folder: Path) -> Iterator[Storage]:
    """S3 by rclone."""
    (folder / "root/bucket").mkdir(parents=True)
    with rclone_s3(folder / "root") as endpoint:
        right, wrong = folder / "right.toml", folder / "wrong.toml"
        for path, secret in ((right, KEYS[1]), (wrong, "WRONGKEY")):
            path.write_text(f'[s3]\nendpoint = "{endpoint}"\naccess_key = "{KEYS[0]}"\nsecret_key = "{secret}"\n')
            path.chmod(0o600)
        config = "SCITQ_FETCH_CONFIG"
        yield Storage("s3://bucket/place", {config: str(right)}, {config: str(wrong)})


STORAGES: dict[str, Callable[[Path], AbstractContextManager[Storage]]] = {"file": file, "s3": s3}
