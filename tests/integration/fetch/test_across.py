"""From one storage to another: the bytes go through this machine, and are checked on the way."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scitq import fetch
from scitq.fetch.settings import settings
from tests.integration.fetch.storages import STORAGES


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """A folder of S3 and one of Azure, by one file of settings."""
    variable = "SCITQ_FETCH_CONFIG"
    with ExitStack() as servers:
        texts, addresses = [], []
        for name in ("s3", "azure"):
            (tmp_path / name).mkdir()
            running = servers.enter_context(STORAGES[name](tmp_path / name))
            texts.append(Path(running.environment[variable]).read_text(encoding="utf-8"))
            addresses.append(running.address)
        config = tmp_path / "both.toml"
        config.write_text("".join(texts))
        config.chmod(0o600)
        monkeypatch.setenv(variable, str(config))
        settings.cache_clear()
        yield addresses[0], addresses[1]
    settings.cache_clear()


def test_a_folder_goes_from_s3_to_azure_and_back(both: tuple[str, str], tmp_path: Path) -> None:
    s3, azure = both
    here = tmp_path / "here"
    files = {"x": b"1", "sub/été|#": b"2", "empty": b"", "large": os.urandom(20 << 20)}
    for name, content in files.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(content)
    fetch.put(here, s3)

    assert fetch.sync(s3, azure).copied == 4
    assert fetch.sync(s3, azure).copied == 0
    assert fetch.sync(azure, f"{s3}-back").copied == 4
    fetch.get(f"{s3}-back/", tmp_path / "back")
    assert {name: (tmp_path / "back" / name).read_bytes() for name in files} == files
    fetch.delete(f"{azure}/sub")
    assert fetch.sync(azure, s3, delete=True).deleted == 1
    assert [entry.name for entry in fetch.list(s3)] == ["empty", "large", "x"]
