"""The storages that the table of behaviours is tried on: each gives an empty folder, and says what it can."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple


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


STORAGES: dict[str, Callable[[Path], AbstractContextManager[Storage]]] = {"file": file}
