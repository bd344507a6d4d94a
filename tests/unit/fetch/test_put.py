"""Storing a folder at a local address: everything, each file when it is whole, and what cannot be is said."""

import os
import socket
import threading
from pathlib import Path

import pytest

from scitq.fetch import FetchError, Stopped, TimedOut, put, transfer
from scitq.fetch.backends import file as file_backend
from scitq.fetch.settings import Settings


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "output").mkdir()
    return tmp_path / "output"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


def seen(folder: Path) -> list[str]:
    """All names below a folder, hidden ones included."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("tail", ["", "/"])
def test_all_is_stored_with_or_without_the_slash(output: Path, there: Path, tail: str) -> None:
    names = ["a", "sub/a b#?%20|é", "sub/deep/new\nline", "n" * 255, ".hidden", os.fsdecode(b"not-utf8-\xff")]
    for name in names:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(os.fsencode(name))
    stored = put(output, f"file://{there}{tail}")
    assert sorted(stored.files) == sorted((name, len(os.fsencode(name))) for name in names)
    assert stored.bytes == sum(size for _, size in stored.files)
    assert seen(there) == seen(output)
    for name in names:
        assert (there / name).read_bytes() == os.fsencode(name)


def test_bytes_are_told_as_they_go(output: Path, there: Path) -> None:
    (output / "sub").mkdir()
    for name in ("a", "sub/b"):
        (output / name).write_bytes(b"x" * 1_000)
    told: list[int] = []
    put(output, str(there), progress=told.append)
    assert sum(told) == 2_000


def test_an_empty_folder_is_no_error(output: Path, there: Path) -> None:
    assert put(output, str(there)) == ((), 0)


def test_files_of_the_same_name_are_replaced_and_others_stay(output: Path, there: Path) -> None:
    there.mkdir()
    (there / "x").write_text("old")
    (there / "y").write_text("old")
    (output / "x").write_text("new")
    put(output, str(there))
    assert ((there / "x").read_text(), (there / "y").read_text()) == ("new", "old")


def test_links_are_stored_as_the_content_they_lead_to(output: Path, there: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x").write_text("content")
    (output / "file").symlink_to(tmp_path / "elsewhere/x")
    (output / "folder").symlink_to(tmp_path / "elsewhere")
    assert put(output, str(there)).files == (("file", 7), ("folder/x", 7))
    assert not (there / "file").is_symlink()
    assert not (there / "folder").is_symlink()


def test_what_has_no_content_is_said_once_the_rest_is_stored(output: Path, there: Path) -> None:
    (output / "a-dead-link").symlink_to("nowhere")
    (output / "loop").symlink_to(".")
    os.mkfifo(output / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(output / "s"))
    (output / "x").write_text("result")
    with pytest.raises(FetchError) as caught:
        put(output, str(there))
    assert caught.value.reason == (
        f"{there}: 4 not stored, 1 stored; first: a-dead-link is a link that leads nowhere"
    )
    assert not caught.value.retry
    assert seen(there) == ["x"]


def test_a_folder_in_the_place_of_a_file_is_said_and_nothing_else_is_lost(output: Path, there: Path) -> None:
    (there / "x/y").mkdir(parents=True)
    (output / "x").write_text("x")
    (output / "z").write_text("z")
    with pytest.raises(FetchError, match=r"1 not stored, 1 stored; first: x: is a directory \(.*/there/x\)"):
        put(output, str(there))
    assert seen(there) == ["x", "x/y", "z"]


@pytest.mark.parametrize("text", ["/x|gunzip", "https://x/y", "", "x|"])
def test_what_cannot_be_stored_to_is_refused(output: Path, text: str) -> None:
    with pytest.raises(FetchError) as caught:
        put(output, text)
    assert caught.value.reason.startswith(f"{text}: ")
    assert not caught.value.retry


def test_a_missing_folder_is_one_line(tmp_path: Path, there: Path) -> None:
    with pytest.raises(FetchError, match=r"there: /.*/missing: no such file or directory"):
        put(tmp_path / "missing", str(there))


def test_a_full_disk_ends_it_and_may_be_tried_again(
    output: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "copy_file_range", full)
    (output / "x").write_text("x")
    with pytest.raises(FetchError, match="x: no space left on device") as caught:
        put(output, str(there))
    assert caught.value.retry
    assert seen(there) == []


def test_stop_and_time_limit_end_it_between_blocks_and_leave_whole_files(
    output: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_backend, "_BLOCK", 1 << 16)
    monkeypatch.setattr(transfer, "settings", lambda: Settings(parallel=1))
    (output / "a").write_text("whole")
    (output / "b").write_bytes(bytes(1 << 20))
    (output / "c").write_text("never begun")
    stop = threading.Event()
    kernel = os.copy_file_range

    def stop_in_b(reading: int, writing: int, count: int) -> int:
        if count > 5:
            stop.set()
        return kernel(reading, writing, count)

    monkeypatch.setattr(os, "copy_file_range", stop_in_b)
    with pytest.raises(Stopped, match="there: b: stopped"):
        put(output, str(there), stop=stop)
    assert seen(there) == ["a"]
    with pytest.raises(TimedOut):
        put(output, str(there), limit_s=0)


def test_many_may_store_into_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    for number in range(60):
        start = threading.Barrier(4)
        failed: list[FetchError] = []
        folders = [tmp_path / f"output{one}" for one in range(4)]
        for folder in folders:
            folder.mkdir(exist_ok=True)
            (folder / f"{folder.name}.txt").write_text("x")

        there = str(tmp_path / f"there{number}")
        threads = [threading.Thread(target=_store, args=(folder, there, start, failed)) for folder in folders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert len(seen(tmp_path / f"there{number}")) == 4


def _store(folder: Path, there: str, start: threading.Barrier, failed: list[FetchError]) -> None:
    start.wait()
    try:
        put(folder, there)
    except FetchError as problem:
        failed.append(problem)
