"""http and https: a real server, and one that does what servers should not."""

import gc
import gzip
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scitq import fetch
from scitq.fetch import FetchError, NotThere, Refused, connections, pieces
from scitq.fetch.backends.http import Backend
from scitq.fetch.places import address
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, Stopped, Watch
from scitq.fetch.uri import parse
from scitq.fetch.web import Web
from tests.servers.certificate import certificate
from tests.servers.faulty_http import Fault, FaultyServer, faulty_http
from tests.servers.nginx import nginx
from tests.sources import ROOT

CONTENT = Random(3).randbytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
DEADLINE = 30.0


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_http() as one:
        one.files["/a"] = CONTENT
        yield one


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Short patience, small pieces."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    config = tmp_path / "fetch.toml"
    config.write_text("[limits]\nstall_s = 0.6\n")
    monkeypatch.setenv("SCITQ_FETCH_CONFIG", str(config))
    settings.cache_clear()
    monkeypatch.setattr(pieces, "LARGE", 1 << 20)
    monkeypatch.setattr(pieces, "_SMALLEST", 1 << 18)
    yield
    settings.cache_clear()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, noted instead of waited for."""
    noted: list[float] = []

    def pause(watch: Watch, seconds: float) -> None:
        noted.append(seconds)
        watch.check()

    monkeypatch.setattr(Watch, "pause", pause)
    return noted


def stat(server: FaultyServer, path: str = "/a") -> tuple[Backend, str, Entry]:
    backend = Backend(parse(f"http://{server.host}{path}"))
    return backend, server.host + path, backend.stat(server.host + path)


def down(server: FaultyServer, target: Path, md5: str = "", watch: Watch | None = None) -> int:
    backend, path, entry = stat(server)
    return backend.download(path, entry._replace(md5=md5), str(target), watch or Watch())


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".fetch-"))


class TestNames:
    @pytest.mark.parametrize(
        ("name", "written"),
        [
            *(
                (name, name)
                for name in ("a b", "#", "a#b", "été", "日本語", "a+b", "[x]", "'", '"q"', "a|b", "<x>", "-d")
            ),
            *(("50%", "50%25"), ("x?y", "x%3Fy"), ("%41", "%2541"), ("a b", "a%20b"), ("deep/er", "deep/er")),
        ],
    )
    def test_a_name_is_sent_as_it_is_written(self, tmp_path: Path, name: str, written: str) -> None:
        (tmp_path / "root" / name).parent.mkdir(parents=True)
        (tmp_path / "root" / name).write_bytes(b"it")
        with nginx(tmp_path / "root", tmp_path / "nginx") as host:
            address = f"http://{host}/{written}".replace("|", "\\|")
            got = fetch.get(address, tmp_path / "to")

        assert got.names == (os.path.basename(written),)
        assert (tmp_path / "to" / os.path.basename(written)).read_bytes() == b"it"

    def test_a_query_is_sent_and_is_no_part_of_the_name(self, server: FaultyServer, tmp_path: Path) -> None:
        server.files["/x/a.txt?key=a/b"] = b"it"

        assert fetch.get(f"http://{server.host}/x/a.txt?key=a/b", tmp_path / "to").names == ("a.txt",)

    def test_a_folder_is_refused(self, server: FaultyServer, tmp_path: Path) -> None:
        with pytest.raises(FetchError, match="http has no listing"):
            fetch.get(f"http://{server.host}/x/", tmp_path / "to")

    @pytest.mark.parametrize("address", ["http://", "http:///a", "http://h:x/a", "http://h:99999/a", "http://h h/a"])
    def test_what_is_no_address_is_one_line(self, address: str, tmp_path: Path) -> None:
        with pytest.raises(FetchError, match=r"no host|no port|empty path|no file name"):
            fetch.get(address, tmp_path / "to")


class TestWhole:
    def test_all_that_a_server_tells(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        root.mkdir()
        (root / "a.txt").write_bytes(b"12345")
        os.utime(root / "a.txt", (1_600_000_000, 1_600_000_000))
        with nginx(root, tmp_path / "nginx", more="add_header Content-MD5 gnzLDuqKcGxMNKFokfhOew==;") as host:
            entry = fetch.info(f"http://{host}/a.txt")
            fetch.get(f"http://{host}/a.txt", tmp_path / "to")

        assert (entry.name, entry.size, entry.modified, entry.type) == ("a.txt", 5, 1_600_000_000.0, "text/plain")
        assert entry.md5 == hashlib.md5(b"12345").hexdigest()
        assert entry.version.startswith('etag:"')
        assert (tmp_path / "to/a.txt").stat().st_mtime == 1_600_000_000

    def test_a_large_file_comes_by_several_ranges(self, server: FaultyServer, tmp_path: Path) -> None:
        assert down(server, tmp_path / "a", MD5) == len(CONTENT)

        assert (tmp_path / "a").read_bytes() == CONTENT
        assert len(server.ranges()) == 12
        assert "" not in server.ranges()
        assert {headers["if-match"] for _, _, headers in server.asked[1:]} == {'"1"'}
        assert left(tmp_path) == []

    def test_a_small_file_comes_by_one_request(self, server: FaultyServer, tmp_path: Path) -> None:
        server.files["/a"] = b"small"
        down(server, tmp_path / "a")

        assert server.ranges() == [""]

    def test_an_empty_file_comes(self, server: FaultyServer, tmp_path: Path) -> None:
        server.files["/a"] = b""
        down(server, tmp_path / "a", hashlib.md5(b"").hexdigest())

        assert (tmp_path / "a").read_bytes() == b""

    def test_a_server_that_knows_no_head_is_asked_otherwise(self, server: FaultyServer, tmp_path: Path) -> None:
        server.refuse_head = 405

        assert stat(server)[2].size == len(CONTENT)

    def test_what_comes_in_chunks_of_unknown_size_is_whole(self, server: FaultyServer, tmp_path: Path) -> None:
        server.always = Fault(chunked=True, whole=True)
        server.files["/a"] = CONTENT[:5000]
        assert stat(server)[2].size == -1
        down(server, tmp_path / "a")

        assert (tmp_path / "a").read_bytes() == CONTENT[:5000]

    def test_a_server_without_ranges_sends_all_once(self, server: FaultyServer, tmp_path: Path) -> None:
        server.always = Fault(whole=True)
        assert down(server, tmp_path / "a", MD5) == len(CONTENT)

        assert (tmp_path / "a").read_bytes() == CONTENT
        assert len(server.ranges()) == 1

    def test_a_range_may_be_called_200(self, server: FaultyServer, tmp_path: Path) -> None:
        server.range_status = 200
        assert down(server, tmp_path / "a", MD5) == len(CONTENT)
        assert len(server.ranges()) == 12

    def test_another_digest_is_no_file(self, server: FaultyServer, tmp_path: Path) -> None:
        with pytest.raises(FetchError, match=f"its MD5 is {MD5}, it should be {'0' * 32}") as told:
            down(server, tmp_path / "a", "0" * 32)

        assert told.value.retry
        assert list(tmp_path.glob("*a")) == []
        assert left(tmp_path) == []

    def test_it_is_read_as_a_stream(self, server: FaultyServer, tmp_path: Path) -> None:
        server.files["/a.gz?key=x/"] = gzip.compress(CONTENT, 1)
        fetch.get(f"http://{server.host}/a.gz?key=x/|gunzip", tmp_path / "to")

        assert (tmp_path / "to/a").read_bytes() == CONTENT

    def test_an_answer_is_read_as_slowly_as_one_likes(self, server: FaultyServer) -> None:
        server.files["/a"] = CONTENT[:100]
        answer = Web(5).ask("GET", address(f"http://{server.host}/a"), {}, Watch())
        view = memoryview(bytearray(3))
        read = b""
        while count := answer.into(view):
            read += view[:count]
        answer.close()

        assert read == CONTENT[:100]


class TestBroken:
    @pytest.mark.parametrize("end", ["cut", "reset", "stall"])
    def test_a_broken_answer_goes_on_where_it_broke(
        self, server: FaultyServer, tmp_path: Path, pauses: list[float], end: str
    ) -> None:
        server.faults += [Fault(after=100_000, end=end), Fault(after=0, end=end)]
        moved = down(server, tmp_path / "a", MD5)

        assert (tmp_path / "a").read_bytes() == CONTENT
        assert len(pauses) >= 1
        assert server.ranges()[0] == "bytes=0-262143"
        if end != "reset":  # which drops what the client has not read yet
            assert "bytes=100000-262143" in server.ranges()
            assert moved == len(CONTENT)

    def test_a_stream_goes_on_where_it_broke(self, server: FaultyServer, pauses: list[float]) -> None:
        backend, path, _ = stat(server)
        server.faults += [Fault(after=100_000), Fault(status=503), None]
        with backend.open(path) as stream:
            assert stream.read() == CONTENT
        assert server.ranges() == ["", f"bytes=100000-{len(CONTENT) - 1}", f"bytes=100000-{len(CONTENT) - 1}"]

    def test_a_stream_without_ranges_is_read_again(self, server: FaultyServer, pauses: list[float]) -> None:
        backend, path, _ = stat(server)
        server.always = Fault(whole=True)
        server.faults += [Fault(after=100_000)]
        with backend.open(path) as stream:
            assert stream.read() == CONTENT

    @pytest.mark.parametrize("status", [500, 502, 503, 429])
    def test_a_server_that_cannot_now_is_asked_again(
        self, server: FaultyServer, tmp_path: Path, pauses: list[float], status: int
    ) -> None:
        server.faults += [Fault(status=status, headers=(("Retry-After", "120"),))]
        down(server, tmp_path / "a", MD5)

        assert (tmp_path / "a").read_bytes() == CONTENT
        assert pauses == [120.0]

    def test_a_date_may_be_asked_for(self, server: FaultyServer, tmp_path: Path, pauses: list[float]) -> None:
        later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
        server.faults += [Fault(status=503, headers=(("Retry-After", later),))]
        down(server, tmp_path / "a")

        assert 80 < pauses[0] <= 100

    def test_fewer_connections_are_enough(self, server: FaultyServer, tmp_path: Path, pauses: list[float]) -> None:
        server.faults += [None, *(Fault(status=503) for _ in range(3))]
        down(server, tmp_path / "a", MD5)

        assert (tmp_path / "a").read_bytes() == CONTENT

    @pytest.mark.parametrize(
        ("status", "kind", "retry"),
        [
            *((404, NotThere, False), (410, NotThere, False), (401, Refused, False), (403, Refused, False)),
            *((400, FetchError, False), (501, FetchError, False), (500, FetchError, True)),
        ],
    )
    def test_each_status_means_one_thing(
        self, server: FaultyServer, tmp_path: Path, pauses: list[float], status: int, kind: type, retry: bool
    ) -> None:
        backend, path, entry = stat(server)
        server.always = Fault(status=status)
        with pytest.raises(FetchError) as told:
            backend.download(path, entry, str(tmp_path / "a"), Watch())

        assert isinstance(told.value, kind)
        assert told.value.retry == retry
        assert len(server.ranges()) == (5 if retry else 1)
        assert str(status) in told.value.reason
        assert not (tmp_path / "a").exists()

    def test_a_kept_connection_may_be_gone(self, server: FaultyServer, tmp_path: Path, pauses: list[float]) -> None:
        server.files["/a"] = b"small"
        server.faults += [Fault(after=5)]  # all of it, and then the server hangs up without a word
        down(server, tmp_path / "a")
        down(server, tmp_path / "b")

        assert (tmp_path / "b").read_bytes() == b"small"
        assert pauses == []

    def test_a_stop_ends_a_stall(self, server: FaultyServer, tmp_path: Path) -> None:
        (tmp_path / "fetch.toml").write_text("[limits]\nstall_s = 1000\n")
        settings.cache_clear()
        server.always = Fault(after=1000, end="stall")
        stop = threading.Event()
        backend, path, entry = stat(server)
        timer = threading.Timer(0.3, stop.set)
        timer.start()
        with pytest.raises(Stopped):
            backend.download(path, entry, str(tmp_path / "a"), Watch(stop))
        timer.join()

    def test_what_is_kept_open_ends_with_who_asked(self, server: FaultyServer) -> None:
        server.files["/a"] = b"small"
        asking: list[Any] = [Web(5)]
        asking[0].ask("GET", address(f"http://{server.host}/a"), {}, Watch()).whole()
        ((kept,),) = asking[0]._connections._idle.values()
        open_until_then = kept.sock
        asking.append(asking)  # as what failed holds what held it
        del asking, kept
        gc.collect()

        assert open_until_then.fileno() == -1

    def test_nobody_is_there(self, tmp_path: Path) -> None:
        with faulty_http() as server:
            host = server.host
        with pytest.raises(FetchError, match=r"127\.0\.0\.1:\d+: connection refused") as told:
            Backend(parse(f"http://{host}/a")).stat(f"{host}/a")
        assert told.value.retry


class TestChanged:
    def test_a_file_that_changes_meanwhile_is_noticed(
        self, server: FaultyServer, tmp_path: Path, pauses: list[float]
    ) -> None:
        backend, path, entry = stat(server)
        server.etag = '"2"'
        with pytest.raises(FetchError, match="changed while it was read") as told:
            backend.download(path, entry, str(tmp_path / "a"), Watch())

        assert told.value.retry
        assert not (tmp_path / "a").exists()

    @pytest.mark.parametrize(("etag", "modified"), [('W/"1"', ""), ("", "Sun, 06 Nov 1994 08:49:37 GMT")])
    def test_also_where_the_server_does_not_look(
        self, server: FaultyServer, tmp_path: Path, pauses: list[float], etag: str, modified: str
    ) -> None:
        server.etag, server.modified = etag, modified
        backend, path, entry = stat(server)
        assert backend.download(path, entry, str(tmp_path / "a"), Watch()) == len(CONTENT)
        server.etag, server.modified = etag.replace("1", "2"), modified.replace("37", "38")
        with pytest.raises(FetchError, match="changed while it was read"):
            backend.download(path, entry, str(tmp_path / "b"), Watch())

    def test_what_came_of_another_version_is_not_used(
        self, server: FaultyServer, tmp_path: Path, pauses: list[float]
    ) -> None:
        server.always = Fault(after=10_000)
        with pytest.raises(FetchError, match="bytes early"):
            down(server, tmp_path / "a")
        assert len(left(tmp_path)) == 2
        server.always = Fault()
        server.etag, server.files["/a"] = '"2"', CONTENT[::-1]
        down(server, tmp_path / "a")

        assert (tmp_path / "a").read_bytes() == CONTENT[::-1]

    def test_what_came_of_the_same_is(self, server: FaultyServer, tmp_path: Path, pauses: list[float]) -> None:
        server.always = Fault(after=10_000)
        with pytest.raises(FetchError, match="bytes early"):
            down(server, tmp_path / "a")
        server.always = Fault()
        moved = down(server, tmp_path / "a", MD5)

        assert 0 < moved < len(CONTENT)
        assert (tmp_path / "a").read_bytes() == CONTENT

    def test_what_nothing_tells_from_its_next_version_begins_anew(
        self, server: FaultyServer, tmp_path: Path, pauses: list[float]
    ) -> None:
        server.etag = server.modified = ""
        server.always = Fault(after=10_000)
        with pytest.raises(FetchError, match="bytes early"):
            down(server, tmp_path / "a")
        assert left(tmp_path) == []


class TestElsewhere:
    def test_redirects_are_followed_to_other_hosts_which_learn_no_password(
        self, server: FaultyServer, tmp_path: Path
    ) -> None:
        with faulty_http() as other:
            other.redirects["/x"] = "/x/y z?q#here"
            other.redirects["/x/y%20z?q"] = f"http://{server.host}/a"
            got = fetch.get(f"http://me:p%40ss@{other.host}/x", tmp_path / "to")

        assert got.names == ("x",)
        assert (tmp_path / "to/x").read_bytes() == CONTENT
        assert all(headers["authorization"] == "Basic bWU6cEBzcw==" for _, _, headers in other.asked)
        assert all("authorization" not in headers for _, _, headers in server.asked)
        assert len([1 for method, _, _ in other.asked if method == "GET"]) == 2  # then it is known where it leads

    @pytest.mark.parametrize("to", ["/a", "ftp://127.0.0.1/a", "file:///etc/passwd"])
    def test_a_redirect_that_leads_nowhere_is_one_line(self, server: FaultyServer, to: str) -> None:
        server.redirects["/a"] = to
        with pytest.raises(FetchError, match="redirect") as told:
            stat(server)
        assert not told.value.retry

    def test_a_password_is_in_no_error(self, server: FaultyServer, tmp_path: Path) -> None:
        server.always = Fault(status=401)
        with pytest.raises(Refused, match=r"http://me:\*\*\*@127") as told:
            fetch.get(f"http://me:secret@{server.host}/a", tmp_path / "to")
        assert "secret" not in str(told.value)

    def test_a_proxy_is_used(self, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        server.files["http://nowhere.invalid/a"] = b"by proxy"
        monkeypatch.setenv("http_proxy", f"http://me:pw@{server.host}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        fetch.get("http://nowhere.invalid/a", tmp_path / "to")
        fetch.get(f"http://{server.host}/a", tmp_path / "too")

        assert (tmp_path / "to/a").read_bytes() == b"by proxy"
        assert server.asked[0][2]["proxy-authorization"] == "Basic bWU6cHc="
        assert server.asked[-1][1] == "/a"

    def test_nothing_can_be_stored_or_deleted(self, server: FaultyServer, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"1")
        backend, path, _ = stat(server)
        for work in (
            partial(backend.upload, str(tmp_path / "x"), path, Watch()),
            partial(backend.copy, path, path, Watch()),
            partial(backend.delete, [path], Watch()),
        ):
            with pytest.raises(FetchError, match=r"nothing can be (stored|deleted) by http"):
                work()

    def test_https_is_verified_and_leads_to_nothing_less(
        self, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "root").mkdir()
        (tmp_path / "root/a").write_bytes(CONTENT)
        own = certificate(tmp_path)
        more = f"location /less {{ return 302 http://{server.host}/a; }}"
        with nginx(tmp_path / "root", tmp_path / "nginx", more, own) as host:
            with pytest.raises(Refused, match="certificate is not trusted") as told:
                fetch.get(f"https://{host}/a", tmp_path / "to")
            assert not told.value.retry
            monkeypatch.setenv("SSL_CERT_FILE", str(own.path))
            connections._context.cache_clear()
            fetch.get(f"https://{host}/a", tmp_path / "to")
            with pytest.raises(FetchError, match="from https to http: refused"):
                fetch.get(f"https://{host}/less", tmp_path / "to")
        connections._context.cache_clear()

        assert (tmp_path / "to/a").read_bytes() == CONTENT


KILLED = """
import sys
from scitq.fetch import partial, pieces
from scitq.fetch.backends.http import Backend
from scitq.fetch.storage import Watch
from scitq.fetch.uri import parse
from scitq.fetch.web import Web
partial._FIRST_S = 0
pieces.LARGE = 1 << 40
path, target = sys.argv[1:]
backend = Backend(parse(f"http://{path}"))
backend.download(path, backend.stat(path), target, Watch(rate=1 << 20))
"""


def test_a_killed_process_leaves_what_the_next_one_uses(server: FaultyServer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, f"{server.host}/a", str(tmp_path / "a")]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}) as process:
        deadline = time.monotonic() + DEADLINE
        while not any(name.endswith(".json") for name in left(tmp_path)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "a").exists()
    moved = down(server, tmp_path / "a", MD5)

    assert 0 < moved < len(CONTENT)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert left(tmp_path) == []
