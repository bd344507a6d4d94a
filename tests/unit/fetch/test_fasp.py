"""fasp://: what ascp is told, what it leaves behind, and what is said when it cannot work."""

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.fetch.backends.fasp import Backend, Place, place
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, FetchError, NotThere, Refused, Watch
from scitq.fetch.uri import parse
from tests.servers import ascp

CONTENT = b"reads" * 1000


class Server:
    """A folder that `ascp` takes for the server; `words` are those of its calls."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "server"
        self.files.mkdir()
        (self.files / "a.gz").write_bytes(CONTENT)
        self.programs = folder / "bin"
        self.programs.mkdir()
        self._log = ascp.install(self.programs, self.files)

    @property
    def words(self) -> list[list[str]]:
        return [line.split("\t") for line in self._log.read_text().splitlines()]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("SCITQ_FETCH_CONFIG", os.devnull)
    monkeypatch.setenv("HOME", str(tmp_path))
    one = Server(tmp_path)
    monkeypatch.setenv("PATH", str(one.programs))
    settings.cache_clear()
    yield one
    settings.cache_clear()


def backend(address: str) -> tuple[Backend, str]:
    uri = parse(address)
    return Backend(uri), uri.path


@pytest.mark.parametrize(
    ("path", "at"),
    [
        ("ada@lab.org:/data/x y", Place("ada", "lab.org", 33001, "/data/x y")),
        ("lab.org/data/x", Place("era-fasp", "lab.org", 33001, "/data/x")),
        ("ada@lab.org:2222/x:y", Place("ada", "lab.org", 2222, "/x:y")),
    ],
)
def test_an_address_is_user_host_and_path(path: str, at: Place) -> None:
    assert place(path) == at


@pytest.mark.parametrize("path", ["host", "@host/x", ":/x", "a@b@c/x", "host/a\nb"])
def test_what_is_no_address_is_refused(path: str) -> None:
    with pytest.raises(FetchError, match="fasp://USER@HOST:/PATH"):
        place(path)


def test_a_file_comes_down_and_is_held_against_size_and_digest(server: Server, tmp_path: Path) -> None:
    here, path = backend("fasp://era-fasp@fasp.sra.ebi.ac.uk:/a.gz")
    entry = Entry("a.gz", len(CONTENT), "1", md5=hashlib.md5(CONTENT).hexdigest())

    assert here.download(path, entry, str(tmp_path / "here" / "a.gz"), Watch()) == len(CONTENT)

    assert (tmp_path / "here" / "a.gz").read_bytes() == CONTENT
    assert os.listdir(tmp_path / "here") == ["a.gz"]
    (words,) = server.words
    assert words[:7] == ["-q", "-Q", "-l", "300000k", "-P", "33001", "--user=era-fasp"]
    assert words[7:] == [
        *("--host=fasp.sra.ebi.ac.uk", "-T", "-i", str(server.programs / "aspera_bypass_rsa.pem")),
        *("--mode=recv", "-k", "2", "/a.gz", "./one"),
    ]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (Entry("a.gz", 7, ""), "5000 bytes of 7"),
        (Entry("a.gz", 5000, "", md5="0" * 32), f"its MD5 is {hashlib.md5(CONTENT).hexdigest()}, it should be 000"),
    ],
)
@pytest.mark.usefixtures("server")
def test_what_is_not_as_told_never_has_the_name(tmp_path: Path, entry: Entry, reason: str) -> None:
    here, path = backend("fasp://lab/a.gz")

    with pytest.raises(FetchError, match=reason):
        here.download(path, entry, str(tmp_path / "here" / "a.gz"), Watch())

    assert not (tmp_path / "here" / "a.gz").exists()
    here.download(path, Entry("a.gz", 5000, ""), str(tmp_path / "here" / "a.gz"), Watch())  # nothing wrong was kept


def test_a_file_goes_up_under_its_name_and_what_is_private_is_encrypted(server: Server, tmp_path: Path) -> None:
    (tmp_path / "b c").write_bytes(b"result")
    here, _ = backend("fasp://ada@lab:/results/")

    assert here.upload(str(tmp_path / "b c"), "ada@lab:/results/sub/b c", Watch()) == 6

    assert (server.files / "results" / "sub" / "b c").read_bytes() == b"result"
    assert "-T" not in server.words[0]


def test_a_stream_goes_up_whole_or_not_at_all(server: Server) -> None:
    here, path = backend("fasp://ada@lab:/results/x")

    with pytest.raises(FetchError, match="3 bytes of 4"):
        here.write(io.BytesIO(b"abc"), 4, path, Watch())
    assert not (server.files / "results").exists()
    assert here.write(io.BytesIO(b"abc"), 3, path, Watch()) == 3

    assert (server.files / "results" / "x").read_bytes() == b"abc"


@pytest.mark.usefixtures("server")
def test_a_stream_comes_down() -> None:
    here, path = backend("fasp://lab/a.gz")

    with here.open(path) as stream:
        assert stream.read() == CONTENT


@pytest.mark.parametrize(
    ("said", "kind", "reason"),
    [
        ("ascp: failed to authenticate, exiting.", Refused, "SCITQ_ASPERA_KEY"),
        ("ascp: Server aborted session: No such file or directory", NotThere, "No such file"),
        ("ascp: Failed to open TCP connection for SSH, exiting.", FetchError, "Failed to open TCP"),
    ],
)
@pytest.mark.usefixtures("server")
def test_why_it_failed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, kind: type[FetchError], reason: str
) -> None:
    here, path = backend("fasp://lab/a.gz")
    monkeypatch.setenv("ASCP_SAYS", said)

    with pytest.raises(kind, match=reason) as caught:
        here.download(path, here.stat(path), str(tmp_path / "x"), Watch())

    assert caught.value.retry == (kind is FetchError)


def test_without_ascp_and_docker_both_are_named(server: Server, tmp_path: Path) -> None:
    (server.programs / "ascp").unlink()
    here, path = backend("fasp://lab/a.gz")

    with pytest.raises(FetchError, match=r"not installed here: ascp, nor docker, which could run .*aspera-cli"):
        here.download(path, here.stat(path), str(tmp_path / "x"), Watch())


def test_without_a_key_the_setting_is_named(server: Server, tmp_path: Path) -> None:
    (server.programs / "aspera_bypass_rsa.pem").unlink()
    here, path = backend("fasp://lab/a.gz")

    with pytest.raises(Refused, match="set SCITQ_ASPERA_KEY"):
        here.download(path, here.stat(path), str(tmp_path / "x"), Watch())


def test_a_key_that_is_set_is_shown_and_a_password_needs_none(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, path = backend("fasp://lab/a.gz")
    (tmp_path / "mine.pem").write_text("mine")
    monkeypatch.setenv("SCITQ_ASPERA_KEY", str(tmp_path / "mine.pem"))
    settings.cache_clear()
    here.download(path, here.stat(path), str(tmp_path / "x"), Watch())
    monkeypatch.delenv("SCITQ_ASPERA_KEY")
    monkeypatch.setenv("ASPERA_SCP_PASS", "secret")
    settings.cache_clear()
    here.download(path, here.stat(path), str(tmp_path / "y"), Watch())

    with_key, with_password = server.words
    assert with_key[with_key.index("-i") + 1] == str(tmp_path / "mine.pem")
    assert "-i" not in with_password
    assert "secret" not in with_password


@pytest.mark.usefixtures("server")
def test_what_aspera_cannot_do_is_said() -> None:
    here, _ = backend("fasp://lab/a/")

    with pytest.raises(FetchError, match="lists no folders"):
        next(here.walk("lab/a/"))
    assert list(here.delete(["lab/a/b"], Watch())) == [("lab/a/b", "Aspera deletes nothing")]
    assert here.copy("lab/a", "lab/b", Watch()) is False
