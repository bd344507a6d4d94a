"""FTP: two real servers, and what goes wrong with them. The table of behaviours tries the rest."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random
from urllib.parse import quote

import pytest

from scitq import fetch
from scitq.fetch import FetchError, NotThere, Refused, pieces
from scitq.fetch.backends.ftp import Backend
from scitq.fetch.partial import Partial
from scitq.fetch.retries import patiently
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, Watch
from scitq.fetch.uri import parse
from tests.servers.hasty_ftp import hasty_ftp
from tests.servers.pyftpd import PASSWORD, USER, pyftpd
from tests.servers.vsftpd import vsftpd

CONTENT = Random(4).randbytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
SERVERS: dict[str, tuple[Callable[[Path], AbstractContextManager[str]], str]] = {
    "pyftpdlib": (pyftpd, f"{USER}:{quote(PASSWORD, safe='')}@"),
    "vsftpd": (vsftpd, ""),
}


@pytest.fixture(params=SERVERS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """HOST/place, and the folder which that is."""
    root = tmp_path / "root"
    (root / "place").mkdir(parents=True)
    serve, user = SERVERS[request.param]
    with serve(root) as host:
        yield f"{user}{host}/place", root / "place"


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are short; pieces are small."""

    def pause(watch: Watch, seconds: float) -> None:
        time.sleep(0.01)
        watch.check()

    monkeypatch.setattr(Watch, "pause", pause)
    monkeypatch.setattr(pieces, "LARGE", 1 << 20)
    monkeypatch.setattr(pieces, "_SMALLEST", 1 << 18)


def backend(place: str) -> Backend:
    return Backend(parse(f"ftp://{place}"))


def test_a_large_file_comes_by_several_connections(place: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = place
    (folder / "a").write_bytes(CONTENT)
    storage, path = backend(address), f"{address}/a"
    entry = storage.stat(path)
    moved = storage.download(path, entry, str(tmp_path / "a"), Watch())

    assert moved == len(CONTENT)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert 1 < len(next(iter(storage._connections._idle.values()))) <= settings().connections + 1
    storage.close()


def test_names_on_the_server_are_the_bytes_that_were_meant(place: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = place
    (tmp_path / "x").write_bytes(b"1")
    fetch.copy(tmp_path / "x", f"ftp://{address}/été #?%41 日本語")

    assert os.listdir(os.fsencode(folder)) == ["été #?%41 日本語".encode()]


def test_a_listing_tells_what_a_look_at_each_file_tells(place: tuple[str, Path]) -> None:
    address, folder = place
    for name, when in (("new", 1_700_000_001), ("old", 1_000_000_001), ("deep/file", 1_500_000_001)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(name.encode())
        os.utime(folder / name, (when, when))
    (folder / ".hidden").write_bytes(b"1")
    storage = backend(address)
    entries = list(storage.walk(address))

    assert [entry.name for entry in entries] == [".hidden", "deep/file", "new", "old"]
    assert [entry.modified for entry in entries[1:]] == [1_500_000_001.0, 1_700_000_001.0, 1_000_000_001.0]
    for entry in entries:
        assert storage.stat(f"{address}/{entry.name}")._replace(name=entry.name) == entry
    storage.close()


def test_it_is_listed_in_the_order_of_whole_names(place: tuple[str, Path]) -> None:
    address, folder = place
    names = ("a/x", "a/b/y", "a-b", "a.b", "a0", "A", "é", "b/z")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")

    assert [entry.name for entry in backend(address).walk(address)] == sorted(names)


def test_links_are_followed_to_files_only(place: tuple[str, Path]) -> None:
    address, folder = place
    (folder / "a").write_bytes(b"12345")
    (folder / "to_file").symlink_to("a")
    (folder / "to_nothing").symlink_to("none")
    found = {entry.name: entry for entry in backend(address).walk(address)}

    assert found["to_file"].size == 5
    assert not found["to_file"].trouble
    if "to_nothing" in found:  # pyftpdlib does not list it
        assert "leads nowhere" in found["to_nothing"].trouble


def test_it_is_read_as_a_stream(place: tuple[str, Path]) -> None:
    address, folder = place
    (folder / "a").write_bytes(CONTENT)
    storage = backend(address)
    with storage.open(f"{address}/a") as stream:
        assert stream.read(10) == CONTENT[:10]
        assert stream.read() == CONTENT[10:]
    with storage.open(f"{address}/a") as stream:
        assert stream.read(10) == CONTENT[:10]  # and no further: the connection must be usable again
    assert storage.stat(f"{address}/a").size == len(CONTENT)
    storage.close()


def test_a_file_that_changes_meanwhile_is_noticed(place: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = place
    (folder / "a").write_bytes(CONTENT)
    storage, path = backend(address), f"{address}/a"
    entry = storage.stat(path)
    os.utime(folder / "a", (1_000_000_000, 1_000_000_000))
    with pytest.raises(FetchError, match="changed while it was read") as told:
        storage.download(path, entry, str(tmp_path / "a"), Watch())

    assert told.value.retry
    assert not (tmp_path / "a").exists()
    storage.close()


def test_what_came_is_used(place: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = place
    (folder / "a").write_bytes(CONTENT)
    storage, path = backend(address), f"{address}/a"
    entry = storage.stat(path)
    with Partial(str(tmp_path / "a"), entry.version, entry.size) as begun:
        os.pwrite(begun.fd, CONTENT[:2_000_000], 0)
        begun.wrote(0, 2_000_000)

    assert storage.download(path, entry._replace(md5=MD5), str(tmp_path / "a"), Watch()) == 1_000_000
    assert (tmp_path / "a").read_bytes() == CONTENT
    storage.close()


def test_what_is_missing_or_a_folder_is_said_so(place: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = place
    (folder / "deep").mkdir()
    (folder / "file").write_bytes(b"1")
    storage = backend(address)
    with pytest.raises(NotThere):
        storage.stat(f"{address}/none")
    with pytest.raises(NotThere):
        list(storage.walk(f"{address}/none"))
    with pytest.raises(FetchError, match="is a folder"):
        storage.stat(f"{address}/deep")
    with pytest.raises(FetchError, match="is a file, not a folder"):
        list(storage.walk(f"{address}/file"))
    with pytest.raises(FetchError, match="line end"):
        storage.stat(f"{address}/x\r\nDELE file")
    assert (folder / "file").exists()
    storage.close()


def test_what_is_stored_replaces_what_was_there_and_leaves_nothing_beside(
    place: tuple[str, Path], tmp_path: Path
) -> None:
    address, folder = place
    (tmp_path / "x").write_bytes(b"new content")
    storage = backend(address)
    for _ in range(2):
        assert storage.upload(str(tmp_path / "x"), f"{address}/deep/er/x", Watch()) == 11

    assert [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()] == ["deep/er/x"]
    (tmp_path / "x").write_bytes(b"")
    assert storage.upload(str(tmp_path / "x"), f"{address}/deep/er/x", Watch()) == 0
    assert (folder / "deep/er/x").read_bytes() == b""
    storage.close()


def test_a_stream_of_another_size_is_not_stored(place: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = place
    (tmp_path / "x").write_bytes(b"12345")
    storage = backend(address)
    with (tmp_path / "x").open("rb") as stream, pytest.raises(FetchError, match="5 bytes of 6"):
        storage.write(stream, 6, f"{address}/x", Watch())
    with (tmp_path / "x").open("rb") as stream:
        assert storage.write(stream, -1, f"{address}/y", Watch()) == 5

    assert os.listdir(folder) == ["y"]
    storage.close()


def test_what_cannot_be_stored_is_one_line(place: tuple[str, Path], tmp_path: Path) -> None:
    address = place[0].rpartition("@")[2]  # nobody in particular may write here
    (tmp_path / "x").write_bytes(b"1")
    with pytest.raises(FetchError, match=r"access is denied|is not there") as told:
        backend(address).upload(str(tmp_path / "x"), f"{address}/../x", Watch())
    assert not told.value.retry


def test_a_wrong_password_is_refused_and_not_told(tmp_path: Path) -> None:
    with pyftpd(tmp_path) as host, pytest.raises(Refused, match=r"ftp://reader:\*\*\*@.*login failed") as told:
        fetch.get(f"ftp://reader:secret@{host}/x", tmp_path / "to")
    assert "secret" not in str(told.value)


def test_a_server_that_is_full_is_asked_again(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a").write_bytes(CONTENT)
    with pyftpd(tmp_path / "root", most=1) as host:
        storage, path = backend(host), f"{host}/a"
        # The connection that found the server listening may not be forgotten yet.
        entry = patiently(lambda: storage.stat(path), Watch(), 500)
        with pytest.raises(FetchError, match="421") as told:
            backend(host).stat(path)
        assert told.value.retry
        # One connection is all there is: the others give up, and it does their work.
        storage.download(path, entry._replace(md5=MD5), str(tmp_path / "a"), Watch())
        storage.close()
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_nobody_is_there(tmp_path: Path) -> None:
    with pyftpd(tmp_path) as host:
        pass
    with pytest.raises(FetchError, match=r"127\.0\.0\.1: connection refused") as told:
        backend(host).stat(f"{host}/a")
    assert told.value.retry


class TestAria2:
    @pytest.fixture(autouse=True)
    def _aria2(self) -> None:
        if shutil.which("aria2c") is None:
            pytest.skip("no aria2c here")

    def test_it_brings_whole_files_and_resumes(self, place: tuple[str, Path], tmp_path: Path) -> None:
        address, folder = place
        name = "été #?%41"
        (folder / name).write_bytes(CONTENT)
        storage, path = Backend(parse(f"ftp@aria2://{address}")), f"{address}/{name}"
        entry = storage.stat(path)
        watch = Watch()
        assert storage.download(path, entry._replace(md5=MD5), str(tmp_path / "a"), watch) == len(CONTENT)

        assert watch.bytes == len(CONTENT)
        assert (tmp_path / "a").read_bytes() == CONTENT
        assert (tmp_path / "a").stat().st_mtime == entry.modified
        assert not list(tmp_path.glob(".fetch-*"))
        storage.close()

    def test_it_waits_for_no_word_that_it_has_had(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "fetch.toml").write_text("[limits]\nstall_s = 600\n")
        monkeypatch.setenv("SCITQ_FETCH_CONFIG", str(tmp_path / "fetch.toml"))
        settings.cache_clear()
        with hasty_ftp(b"it") as host:
            entry = Entry("a", 2, "v", md5=hashlib.md5(b"it").hexdigest())
            Backend(parse(f"ftp@aria2://{host}")).download(f"{host}/a", entry, str(tmp_path / "a"), Watch())
        settings.cache_clear()

        assert (tmp_path / "a").read_bytes() == b"it"

    @pytest.mark.parametrize(
        ("path", "md5", "said"),
        [
            ("none", "", "is not there|denied"),
            ("a", "0" * 32, "its MD5 is not the one it should be"),
        ],
    )
    def test_what_it_cannot_is_one_line(
        self, place: tuple[str, Path], tmp_path: Path, path: str, md5: str, said: str
    ) -> None:
        address, folder = place
        (folder / "a").write_bytes(CONTENT)
        storage = Backend(parse(f"ftp@aria2://{address}"))
        entry = Entry("a", len(CONTENT), "v", md5=md5)
        with pytest.raises(FetchError, match=said):
            storage.download(f"{address}/{path}", entry, str(tmp_path / "b"), Watch())
        assert list(tmp_path.glob("*b")) == []

    def test_what_is_missing_is_named(
        self, place: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        address, _ = place
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(FetchError, match="install the package aria2"):
            Backend(parse(f"ftp@aria2://{address}")).download(
                f"{address}/a", Entry("a", 1, "v"), str(tmp_path / "a"), Watch()
            )
