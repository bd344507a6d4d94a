import ctypes
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scitq.fetch import partial
from scitq.fetch.partial import Partial, kept
from scitq.fetch.storage import FetchError

WRITER = """
import os, sys
from scitq.fetch import partial
partial._FIRST_S, partial._SAVE_S = 0, float(sys.argv[2])
with partial.Partial(sys.argv[1], "etag:1", 100) as file:
    for begin, end in (0, 30), (60, 80):
        os.pwrite(file.fd, b"x" * (end - begin), begin)
        file.wrote(begin, end)
        file._saver.join()
    print("saved", flush=True)
    sys.stdin.read()
"""


def write(file: Partial, begin: int, end: int, letter: bytes = b"x") -> None:
    os.pwrite(file.fd, letter * (end - begin), begin)
    file.wrote(begin, end)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sidecar(folder: Path) -> Path:
    (path,) = folder.glob(".fetch-*.json")
    return path


@pytest.fixture
def target(tmp_path: Path) -> str:
    """A file of which the first half was written before its writer gave up."""
    path = str(tmp_path / "reads.gz")
    with Partial(path, "etag:1", 100) as file:
        write(file, 0, 50)
    return path


def test_a_whole_file_takes_its_name_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "reads é#?%.gz"

    with Partial(str(path), "v", 10) as file:
        assert file.missing(4) == [(0, 4), (4, 8), (8, 10)]
        write(file, 4, 10, b"b")
        assert not path.exists()
        write(file, 0, 4, b"a")
        file.finish(modified=1_600_000_000.5)

    assert path.read_bytes() == b"aaaabbbbbb"
    assert path.stat().st_mtime == 1_600_000_000.5
    assert left(path.parent) == [path.name]


def test_a_file_with_a_gap_takes_no_name(tmp_path: Path) -> None:
    with Partial(str(tmp_path / "a"), "v", 10) as file:
        write(file, 5, 10)
        with pytest.raises(FetchError, match="0 bytes of 10"):
            file.finish()

    assert not (tmp_path / "a").exists()


def test_a_file_of_unknown_size_is_what_came(tmp_path: Path) -> None:
    with Partial(str(tmp_path / "a"), "v", -1) as file:
        assert file.missing(4) == [(0, -1)]
        write(file, 0, 7)
        file.finish()

    assert (tmp_path / "a").read_bytes() == b"x" * 7


def test_an_empty_file_is_whole_at_once(tmp_path: Path) -> None:
    with Partial(str(tmp_path / "a"), "v", 0) as file:
        assert file.missing(4) == []
        file.finish()

    assert (tmp_path / "a").read_bytes() == b""


def test_the_next_one_goes_on_where_the_last_one_ended(target: str) -> None:
    with Partial(target, "etag:1", 100) as file:
        assert file.here() == [(0, 50)]
        write(file, 50, 100, b"y")
        file.finish()

    assert Path(target).read_bytes() == b"x" * 50 + b"y" * 50
    assert left(Path(target).parent) == ["reads.gz"]


@pytest.mark.parametrize("full_pause", ["0", "1e6"])
def test_what_a_killed_process_wrote_is_used(tmp_path: Path, full_pause: str) -> None:
    path = str(tmp_path / "a")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path, full_pause],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"saved\n"
        with pytest.raises(FetchError, match="another process"):
            Partial(path, "etag:1", 100)
        writer.kill()

    with Partial(path, "etag:1", 100) as file:
        assert file.here() == [(0, 30), (60, 80)]
        assert file.missing(100) == [(30, 60), (80, 100)]
        assert os.pread(file.fd, 100, 0).strip(b"\0") == b"x" * 30 + b"\0" * 30 + b"x" * 20


def test_what_was_not_on_disk_is_not_believed_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial, "_FIRST_S", 0.0)
    file = Partial(str(tmp_path / "a"), "etag:1", 100)
    write(file, 0, 50)
    assert file._saver is not None
    file._saver.join()
    os.close(file.fd)  # as a death of the process would

    assert kept(str(tmp_path / "a"), "etag:1", 100) == 50
    monkeypatch.setattr(partial, "_boot", lambda: "another")
    with Partial(str(tmp_path / "a"), "etag:1", 100) as after:
        assert after.here() == []


def test_what_comes_in_no_time_waits_for_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "_FIRST_S", 0.0)
    monkeypatch.setattr(os, "fdatasync", lambda fd: pytest.fail("waited for the disk"))
    with Partial(str(tmp_path / "a"), "v", 10) as file:
        write(file, 0, 10)
        file.finish()

    assert left(tmp_path) == ["a"]


def test_how_much_was_kept_can_be_told(target: str) -> None:
    assert kept(target, "etag:1", 100) == 50
    assert kept(target, "etag:2", 100) == kept(target, "etag:1", 101) == kept(f"{target}x", "etag:1", 100) == 0


def test_two_threads_never_write_one_file(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    with Partial(path, "v", 10), pytest.raises(FetchError, match="another process") as told:
        Partial(path, "v", 10)

    assert told.value.retry


@pytest.mark.parametrize(("version", "size"), [("etag:2", 100), ("etag:1", 101), ("", 100)])
def test_another_version_begins_anew(target: str, version: str, size: int) -> None:
    with Partial(target, version, size) as file:
        assert file.here() == []
        assert os.fstat(file.fd).st_size == 0
        assert not list(Path(target).parent.glob("*.json"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"here"',
        b"\xff\xfe",
        b"{}",
        b'{"version": "etag:1", "size": 100, "here": [[0, 101]]}',
        b'{"version": "etag:1", "size": 100, "here": [[-1, 5]]}',
        b'{"version": "etag:1", "size": 100, "here": [[5, 5]]}',
        b'{"version": "etag:1", "size": 100, "here": [5]}',
        b'{"version": "etag:1", "size": 100, "here": "ab"}',
        b'{"version": "etag:1", "size": 100, "here": [["a", "b"]]}',
    ],
)
def test_a_damaged_sidecar_is_believed_in_nothing(target: str, content: bytes) -> None:
    sidecar(Path(target).parent).write_bytes(content)

    with Partial(target, "etag:1", 100) as file:
        assert file.here() == []


def test_a_sidecar_that_tells_of_more_than_the_file_holds_is_not_believed(target: str) -> None:
    (data,) = (path for path in Path(target).parent.iterdir() if path.suffix != ".json")
    os.truncate(data, 49)

    with Partial(target, "etag:1", 100) as file:
        assert file.here() == []


def test_a_partial_that_is_gone_leaves_nothing_to_believe(target: str) -> None:
    (data,) = (path for path in Path(target).parent.iterdir() if path.suffix != ".json")
    data.unlink()

    with Partial(target, "etag:1", 100) as file:
        assert file.here() == []


def test_what_is_discarded_is_gone(target: str) -> None:
    with Partial(target, "etag:1", 100) as file:
        file.discard()

    assert left(Path(target).parent) == []


def test_nothing_is_kept_of_a_file_that_cannot_be_told_from_its_next_version(tmp_path: Path) -> None:
    with Partial(str(tmp_path / "a"), "", 100) as file:
        write(file, 0, 50)

    assert left(tmp_path) == []


def test_a_full_disk_is_told_before_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = shutil.disk_usage(tmp_path).free + (1 << 40)
    # To ask for what is not there would take all that is from everybody, for a moment.
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: pytest.fail("the file system was asked for that"))

    with pytest.raises(FetchError, match=f"no room on the disk: {size} bytes are needed") as told:
        Partial(str(tmp_path / "a"), "v", size)

    assert not told.value.retry
    assert left(tmp_path) == []


@pytest.mark.parametrize(("plenty", "has_it"), [(1e9, True), (1, False)])
def test_a_large_file_has_its_room_where_that_is_scarce(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plenty: float, has_it: bool
) -> None:
    monkeypatch.setattr(partial, "_PLENTY", plenty)
    size = partial._RESERVED
    with Partial(str(tmp_path / "a"), "v", size) as file:
        assert (os.fstat(file.fd).st_blocks * 512 >= size) == has_it
        assert file.here() == []


def test_a_disk_that_fails_behind_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(partial, "_FIRST_S", 0.0)
    monkeypatch.setattr(partial, "_SAVE_S", 0.0)
    monkeypatch.setattr(os, "fdatasync", fail)
    with Partial(str(tmp_path / "a"), "v", 10) as file:
        write(file, 0, 5)
        assert file._saver is not None
        file._saver.join()
        with pytest.raises(OSError, match="Input/output"):
            write(file, 5, 10)
        with pytest.raises(OSError, match="Input/output"):
            file.finish()


def test_many_threads_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "_FIRST_S", 0.0)
    monkeypatch.setattr(partial, "_SAVE_S", 0.0)
    with Partial(str(tmp_path / "a"), "v", 4000) as file:
        pieces = file.missing(10)

        def work(own: list[tuple[int, int]]) -> None:
            for begin, end in own:
                write(file, begin, end, bytes([begin // 10 % 251]))

        threads = [threading.Thread(target=work, args=(pieces[first::4],)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        file.finish()

    content = (tmp_path / "a").read_bytes()
    assert content == b"".join(bytes([number % 251]) * 10 for number in range(400))
    assert left(tmp_path) == ["a"]
