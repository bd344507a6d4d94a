"""Fetching a local address into a folder: whole or not at all, never over anything."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest

from scitq.fetch import FetchError, Stopped, TimedOut, get, transfer
from scitq.fetch.backends import file as file_backend
from scitq.fetch.folders import merge
from scitq.fetch.settings import Settings
from scitq.fetch.storage import Entry, Watch
from scitq.fetch.uri import SCHEMES


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


def seen(folder: Path) -> list[str]:
    """All names below a folder, hidden ones included."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_every_scheme_of_the_table_has_its_backend() -> None:
    for scheme in SCHEMES.values():
        assert import_module(f"scitq.fetch.backends.{scheme.backend}").Backend


@pytest.mark.parametrize("head", ["", "file://"])
def test_a_file_arrives_with_its_content_permissions_and_times(data: Path, there: Path, head: str) -> None:
    (data / "x.sh").write_bytes(b"\0binary\xff" * 100_000)
    (data / "x.sh").chmod(0o755)
    os.utime(data / "x.sh", ns=(1, 2_000_000_003))
    fetched = get(f"{head}{data}/x.sh", there)
    assert fetched == (("x.sh",), 800_000, "800000:2000000003")
    assert (there / "x.sh").read_bytes() == (data / "x.sh").read_bytes()
    status = (there / "x.sh").stat()
    assert (status.st_mode & 0o111, status.st_mtime_ns) == (0o111, 2_000_000_003)
    assert seen(there) == ["x.sh"]


def test_a_folder_arrives_under_relative_names(data: Path, there: Path) -> None:
    odd = [
        "a",
        "sub/a b#?%20|é",
        "sub/deep/new\nline",
        "sub/deep/" + "n" * 255,
        os.fsdecode(b"not-utf8-\xff"),
    ]
    for name in odd:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(name, errors="surrogateescape")
    (data / "empty").touch()
    (data / "no files").mkdir()
    fetched = get(f"{data}/", there)
    assert sorted(fetched.names) == sorted([*odd, "empty"])
    assert fetched.bytes == sum(len(os.fsencode(name)) for name in odd)
    for name in odd:
        assert (there / name).read_text(errors="surrogateescape") == name


def test_deep_folders_arrive_and_deeper_ones_are_refused(data: Path, there: Path) -> None:
    deepest = data.joinpath(*["d"] * 200)
    deepest.mkdir(parents=True)
    (deepest / "x").write_text("deep")
    assert get(f"{data}/", there).names == ("d/" * 200 + "x",)
    (deepest / "d").mkdir()
    with pytest.raises(FetchError, match="d is more than 200 folders deep"):
        get(f"{data}/", there)


def test_bytes_are_told_as_they_come_and_of_an_earlier_try_at_once(
    data: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "a").write_bytes(b"a" * 10)
    (data / "b").write_bytes(b"b" * 2_000)
    real, told = file_backend.Backend.download, list[int]()

    def fails_at_b(self: file_backend.Backend, path: str, entry: Entry, target: str, watch: Watch) -> int:
        if entry.name == "b" and not told.count(-1):
            raise FetchError("busy", retry=True)
        return real(self, path, entry, target, watch)

    monkeypatch.setattr(file_backend.Backend, "download", fails_at_b)
    monkeypatch.setattr(transfer, "settings", lambda: Settings(parallel=1, tries=1))
    with pytest.raises(FetchError, match="busy"):
        get(f"{data}/", there, progress=told.append)
    assert sum(told) == 10

    told[:] = [-1]
    get(f"{data}/", there, progress=told.append)
    assert told[:2] == [-1, 10]
    assert sum(told[1:]) == 2_010


def test_an_empty_folder_brings_nothing(data: Path, there: Path) -> None:
    assert get(f"{data}/", there).names == ()


def test_the_version_of_a_folder_tells_any_change(data: Path, tmp_path: Path) -> None:
    (data / "x").write_text("one")
    (data / "y").write_text("two")
    first = get(f"{data}/", tmp_path / "1").version
    assert get(f"{data}/", tmp_path / "2").version == first
    os.utime(data / "x", ns=(1, 1))
    assert get(f"{data}/", tmp_path / "3").version != first


def test_a_link_arrives_as_the_content_it_leads_to(data: Path, there: Path) -> None:
    (data / "x").write_text("content")
    (data / "link").symlink_to(data / "x")
    get(f"{data}/link", there)
    assert not (there / "link").is_symlink()
    assert (there / "link").read_text() == "content"


def test_two_inputs_of_one_name_are_refused_and_the_first_stays(data: Path, there: Path) -> None:
    (data / "a/s").mkdir(parents=True)
    (data / "b/s").mkdir(parents=True)
    (data / "a/s/x").write_text("first")
    (data / "b/s/x").write_text("second")
    (data / "b/other").write_text("not alone either")
    get(f"{data}/a/", there)
    for text in (f"{data}/b/", f"{data}/b/s/x|mv:s"):
        with pytest.raises(FetchError, match="s/x is already there") as caught:
            get(text, there)
        assert not caught.value.retry
    assert seen(there) == ["s", "s/x"]
    assert (there / "s/x").read_text() == "first"


def test_folders_of_several_inputs_are_merged(data: Path, there: Path) -> None:
    for name in ("a/s/x", "b/s/y"):
        (data / name).parent.mkdir(parents=True)
        (data / name).touch()
    get(f"{data}/a/", there)
    assert get(f"{data}/b/", there).names == ("s/y",)
    assert seen(there) == ["s", "s/x", "s/y"]


def test_of_many_at_once_only_one_gets_a_name(data: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        (data / str(number)).mkdir()
        (data / str(number) / "x").write_text(str(number))

    def fetch(number: int) -> int | None:
        try:
            get(f"{data}/{number}/x", there)
        except FetchError:
            return None
        return number

    def alone(source: str, target: str) -> None:
        assert transfer._landing.locked()
        merge(source, target)

    monkeypatch.setattr(transfer, "merge", alone)
    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(fetch, range(8)) if number is not None]
    assert [(there / "x").read_text()] == [str(number) for number in winners]
    assert seen(there) == ["x"]


def test_what_is_missing_denied_or_of_the_wrong_kind_is_one_line(data: Path, there: Path) -> None:
    (data / "file").touch()
    os.mkfifo(data / "pipe")
    (data / "dead").mkdir()
    (data / "dead/link").symlink_to("nowhere")
    for name, reason in {
        "missing": "no such file",
        "missing/": "no such file",
        "file/": "is a file, not a folder",
        "file/x": "not a directory",
        "": "is a folder",
        "pipe": "is not a regular file",
        "dead/": "link is a link that leads nowhere",
        "new\nline": "no such file",
        "x|what": "unknown action",
        "x|": "empty action",
    }.items():
        text = f"{data}/{name}" if name else str(data)
        with pytest.raises(FetchError, match=reason) as caught:
            get(text, there)
        assert caught.value.reason.startswith(str(data))
        assert len(caught.value.reason.splitlines()) == 1
        assert not caught.value.retry
    assert not there.exists()


def test_stop_and_time_limit_end_it_and_leave_nothing(
    data: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_backend, "_BLOCK", 1 << 16)
    (data / "x").write_bytes(bytes(1 << 20))
    stop = threading.Event()
    blocks = []

    def copy_then_stop(reading: int, writing: int, count: int) -> int:
        stop.set()
        blocks.append(count)
        return kernel(reading, writing, count)

    kernel = os.copy_file_range
    monkeypatch.setattr(os, "copy_file_range", copy_then_stop)
    with pytest.raises(Stopped, match="x: stopped"):
        get(f"{data}/x", there, stop=stop)
    assert len(blocks) == 1
    with pytest.raises(TimedOut, match="x: not done within 0 s"):
        get(f"{data}/x", there, limit_s=0)
    assert seen(there) == []


def test_where_the_kernel_cannot_copy_it_is_done_by_hand(
    data: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    (data / "x").write_bytes(os.urandom(3_000_000))
    assert get(f"{data}/x", there).bytes == 3_000_000
    assert (there / "x").read_bytes() == (data / "x").read_bytes()


def test_a_source_that_changes_meanwhile_is_noticed(data: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "x").write_bytes(bytes(1_000))
    kernel = os.copy_file_range

    def grow(reading: int, writing: int, count: int) -> int:
        with (data / "x").open("ab") as more:
            more.write(b"more")
        return kernel(reading, writing, count)

    monkeypatch.setattr(os, "copy_file_range", grow)
    with pytest.raises(FetchError, match="x: changed while it was read") as caught:
        get(f"{data}/x", there)
    assert caught.value.retry
    assert seen(there) == []


def test_a_file_shorter_than_listed_is_not_taken(data: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "x").write_text("12345")
    walk = file_backend.Backend.walk

    def lying(self: file_backend.Backend, path: str) -> Iterator[Entry]:
        return (entry._replace(size=6) for entry in walk(self, path))

    monkeypatch.setattr(file_backend.Backend, "walk", lying)
    monkeypatch.setattr(transfer, "settings", lambda: Settings(tries=1))
    with pytest.raises(FetchError, match="changed since it was listed") as caught:
        get(f"{data}/", there)
    assert caught.value.retry
    assert seen(there) == []
