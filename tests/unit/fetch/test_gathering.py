"""What came before a kill is not brought again, and what is of no use any more goes."""

import os
from pathlib import Path

import pytest

from scitq.fetch import FetchError, get, transfer
from scitq.fetch.backends import file as file_backend
from scitq.fetch.gathering import Gathering
from scitq.fetch.settings import Settings
from scitq.fetch.storage import Entry, Watch


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "data" / name).write_text(name)
    return tmp_path / "data"


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are really downloaded; `c` fails as long as it is not allowed."""
    names: list[str] = []
    download = file_backend.Backend.download

    def noted(self: file_backend.Backend, path: str, entry: Entry, target: str, watch: Watch) -> int:
        if entry.name == "c" and "allowed" not in os.environ:
            raise FetchError("connection reset", retry=True)
        names.append(entry.name)
        return download(self, path, entry, target, watch)

    monkeypatch.setattr(file_backend.Backend, "download", noted)
    monkeypatch.setattr(transfer, "settings", lambda: Settings(parallel=1, tries=1))
    return names


def hidden(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith(".fetch-"))


def test_the_next_try_goes_on(
    data: Path, tmp_path: Path, brought: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    with pytest.raises(FetchError, match="c: connection reset"):
        get(f"{data}/", there)
    assert (brought, len(hidden(there))) == (["a", "b"], 1)

    monkeypatch.setenv("allowed", "")
    fetched = get(f"{data}/", there)
    assert brought == ["a", "b", "c"]
    assert (fetched.names, fetched.bytes) == (("a", "b", "c"), 1)
    assert sorted(os.listdir(there)) == ["a", "b", "c"]


def test_what_came_of_another_version_goes(
    data: Path, tmp_path: Path, brought: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    with pytest.raises(FetchError):
        get(f"{data}/", there)
    (data / "a").write_text("changed")
    monkeypatch.setenv("allowed", "")
    get(f"{data}/", there)
    assert (there / "a").read_text() == "changed"
    assert sorted(os.listdir(there)) == ["a", "b", "c"]


def test_what_was_being_unpacked_is_begun_anew(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    gathering = Gathering(str(there), "address", "1")
    gathering.__enter__()
    (Path(gathering.files) / "x").touch()
    gathering.__exit__(None, KeyboardInterrupt(), None)
    with Gathering(str(there), "address", "1") as gathering:
        assert os.listdir(gathering.files) == ["x"]
        os.makedirs(Path(gathering.use_up()) / "more")
        os.makedirs(f"{gathering.path}/aside")
        left = Path(gathering.path)
        os.rename(left, there / "killed")
    os.rename(there / "killed", left)
    with Gathering(str(there), "address", "1") as gathering:
        assert sorted(os.listdir(gathering.path)) == ["files", "lock"]
        assert os.listdir(gathering.files) == []
    assert os.listdir(there) == []


def test_only_one_is_in_it_and_nobody_takes_it_from_them(tmp_path: Path) -> None:
    with Gathering(str(tmp_path), "address", "1") as gathering:
        with (
            pytest.raises(FetchError, match="by another process") as caught,
            Gathering(str(tmp_path), "address", "1"),
        ):
            pass
        assert caught.value.retry
        with Gathering(str(tmp_path), "address", "2"), Gathering(str(tmp_path), "other", "1"):
            assert len(hidden(tmp_path)) == 3
        assert os.path.isdir(gathering.files)
    assert hidden(tmp_path) == []


def test_a_final_failure_leaves_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "a.gz").write_text("no gzip")
    there = tmp_path / "there"
    with pytest.raises(FetchError, match="damaged archive"):
        get(f"{data}/a.gz|gunzip", there)
    assert os.listdir(there) == []
