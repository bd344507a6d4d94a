"""Actions: what archives become, in any chain, and what hostile ones do not."""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import threading
import zipfile
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scitq.fetch import FetchError, Stopped, get
from scitq.fetch.backends.file import Backend

MEMBERS = {"db/a": b"first", "db/sub/b": b"second", "empty": b""}


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


def tar(*members: tarfile.TarInfo | tuple[str, bytes], name_format: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of the members, (name, content) being a file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=name_format) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size, info.mode, info.mtime = len(member[1]), 0o6755, 1_000_000
            archive.addfile(info, io.BytesIO(member[1]))
    return packed.getvalue()


def entry(name: str, kind: bytes, leads_to: str = "") -> tarfile.TarInfo:
    """A member without content."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, leads_to
    return info


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """A zip archive of the members."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    """A zip member of this kind and these permissions."""
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones included."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


PACKED = tar(*MEMBERS.items())


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("x.tar|untar", PACKED),
        ("x.tar.gz|untar", gzip.compress(PACKED)),
        ("x.TGZ|untar", gzip.compress(PACKED)),
        ("x.tar.bz2|untar", bz2.compress(PACKED)),
        ("x.tar.xz|untar", lzma.compress(PACKED)),
        ("x.tgz|gunzip|untar", gzip.compress(PACKED)),
        ("x.zip|unzip", zipped(*MEMBERS.items())),
    ],
)
def test_an_archive_becomes_its_members_and_is_gone(tmp_path: Path, there: Path, name: str, packed: bytes) -> None:
    (tmp_path / name.partition("|")[0]).write_bytes(packed)
    fetched = get(f"{tmp_path}/{name}", there)
    assert content(there) == MEMBERS
    assert fetched.names == tuple(sorted(MEMBERS))
    assert fetched.bytes == len(packed)


def test_gunzip_takes_the_ending_away_and_all_members_count(tmp_path: Path, there: Path) -> None:
    (tmp_path / "x.fastq.gz").write_bytes(gzip.compress(b"one") + gzip.compress(b"two"))
    assert get(f"{tmp_path}/x.fastq.gz|gunzip", there).names == ("x.fastq",)
    assert content(there) == {"x.fastq": b"onetwo"}


def test_chains_and_folders(tmp_path: Path, there: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub/x.gz").write_bytes(gzip.compress(b"x"))
    (source / "y.tar").write_bytes(tar(("z.gz", gzip.compress(b"z"))))
    (source / "plain").write_bytes(b"plain")
    get(f"{source}/|mv:in/here|untar|gunzip", there)
    assert content(there) == {"in/here/sub/x": b"x", "in/here/z": b"z", "in/here/plain": b"plain"}
    with pytest.raises(FetchError, match="unzip: no file here"):
        get(f"{source}/|unzip", there)


def test_permissions_times_and_links_inside_survive(tmp_path: Path, there: Path) -> None:
    (tmp_path / "x.tar").write_bytes(
        tar(
            entry("./", tarfile.DIRTYPE),
            entry("lib/link", tarfile.SYMTYPE, "../bin/run"),
            ("./bin/run", b"#!"),
            entry("hard", tarfile.LNKTYPE, "bin/run"),
            entry("up", tarfile.SYMTYPE, "lib"),
        )
    )
    assert get(f"{tmp_path}/x.tar|untar|mv:tool", there).names == (
        *("tool/bin/run", "tool/hard", "tool/lib/link", "tool/up"),
    )
    status = (there / "tool/bin/run").stat()
    assert stat.S_IMODE(status.st_mode) & 0o7111 == 0o111  # no setuid
    assert status.st_mtime == 1_000_000
    assert (there / "tool/up/link").read_bytes() == b"#!"
    assert (there / "tool/hard").samefile(there / "tool/bin/run")


def test_no_other_input_comes_to_lie_behind_a_link(tmp_path: Path, there: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar(("e/a", b""), entry("d", tarfile.SYMTYPE, "e")))
    get(f"{tmp_path}/x.tar|untar", there)
    (tmp_path / "source/d").mkdir(parents=True)
    (tmp_path / "source/d/x").write_text("x")
    (tmp_path / "source/y.gz").write_bytes(gzip.compress(b"y"))
    with pytest.raises(FetchError, match="d is already there"):
        get(f"{tmp_path}/source/|gunzip", there)
    assert content(there) == {"e/a": b""}


def test_an_archive_that_changes_while_it_is_read_is_noticed(
    tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"x"))
    reading = Backend.open

    def replaced(self: Backend, path: str) -> BinaryIO:
        os.utime(path, ns=(1, 1))
        return reading(self, path)

    monkeypatch.setattr(Backend, "open", replaced)
    with pytest.raises(FetchError, match="changed while it was read") as caught:
        get(f"{tmp_path}/x.gz|gunzip", there)
    assert caught.value.retry
    assert list(there.rglob("*")) == []


HOSTILE_TARS = {
    "absolute": [("/tmp/evil", b"")],
    "climbing": [("a/../../evil", b"")],
    "absolute link": [entry("l", tarfile.SYMTYPE, "/etc")],
    "climbing link": [entry("a/l", tarfile.SYMTYPE, "../../x")],
    "link that turns back": [
        ("d/e/f", b""),
        entry("l", tarfile.SYMTYPE, "d/e"),
        entry("m", tarfile.SYMTYPE, "l/.."),
    ],
    "empty link": [entry("l", tarfile.SYMTYPE, "")],
    "hard link out": [entry("l", tarfile.LNKTYPE, "../secret")],
    "hard link to an absolute path": [entry("l", tarfile.LNKTYPE, "/etc/passwd")],
    "hard link through a link": [entry("l", tarfile.SYMTYPE, "."), entry("h", tarfile.LNKTYPE, "l/x")],
    "character device": [entry("null", tarfile.CHRTYPE)],
    "block device": [entry("disk", tarfile.BLKTYPE)],
    "pipe": [entry("pipe", tarfile.FIFOTYPE)],
    "file over a folder": [("a/b", b""), ("a", b"")],
    "too deep": [("d/" * 300 + "x", b"")],
}


@pytest.mark.parametrize("members", HOSTILE_TARS.values(), ids=HOSTILE_TARS.keys())
def test_a_hostile_tar_is_refused_and_leaves_nothing(
    tmp_path: Path, there: Path, members: list[tarfile.TarInfo | tuple[str, bytes]]
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "x.tar").write_bytes(tar(*members))
    with pytest.raises(FetchError) as caught:
        get(f"{tmp_path}/x.tar|untar", there)
    assert not caught.value.retry
    assert list(there.rglob("*")) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret", "there", "x.tar"]


def test_a_file_is_never_written_through_a_link(tmp_path: Path, there: Path) -> None:
    """The link comes first, as if it were a folder: its name is a folder by the time links are made."""
    (tmp_path / "x.tar").write_bytes(tar(entry("l", tarfile.SYMTYPE, "."), ("l/x", b"")))
    with pytest.raises(FetchError):
        get(f"{tmp_path}/x.tar|untar", there)
    assert list(there.rglob("*")) == []


@pytest.mark.parametrize(
    ("member", "inside"),
    [
        ("/tmp/evil", b""),
        ("../evil", b""),
        (zip_entry("l", stat.S_IFLNK | 0o777), b"/etc/passwd"),
        (zip_entry("l", stat.S_IFLNK | 0o777), b"../x"),
        (zip_entry("null", stat.S_IFCHR | 0o666), b""),
    ],
)
def test_a_hostile_zip_is_refused(tmp_path: Path, there: Path, member: str | zipfile.ZipInfo, inside: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(zipped((member, inside)))
    with pytest.raises(FetchError) as caught:
        get(f"{tmp_path}/x.zip|unzip", there)
    assert not caught.value.retry
    assert list(there.rglob("*")) == []


def test_a_zip_keeps_its_links_and_executables(tmp_path: Path, there: Path) -> None:
    run, link = zip_entry("bin/run", stat.S_IFREG | 0o755), zip_entry("l", stat.S_IFLNK | 0o777)
    (tmp_path / "x.zip").write_bytes(zipped((run, b"#!"), (link, b"bin/run")))
    get(f"{tmp_path}/x.zip|unzip", there)
    assert (there / "l").readlink() == Path("bin/run")
    assert os.access(there / "l", os.X_OK)


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("x.gz|gunzip", gzip.compress(bytes(1 << 20))),
        ("x.tgz|untar", gzip.compress(tar(("zeros", bytes(1 << 20))))),
        ("x.tgz|untar", gzip.compress(tar(*((str(number), b"") for number in range(100))))),
        ("x.tgz|untar", gzip.compress(tar(("small", b"")) + bytes(1 << 20))),
        ("x.zip|unzip", zipped(("zeros", bytes(1 << 20)))),
        ("x.gz.gz|gunzip|gunzip", gzip.compress(gzip.compress(bytes(1 << 20)))),
    ],
)
def test_a_bomb_is_refused_at_the_limit(tmp_path: Path, there: Path, name: str, packed: bytes) -> None:
    (tmp_path / name.partition("|")[0]).write_bytes(packed)
    with pytest.raises(FetchError, match="more than 300000 bytes: refused as a bomb"):
        get(f"{tmp_path}/{name}", there, unpack_limit=300_000)
    assert list(there.rglob("*")) == []


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("x.gz|gunzip", gzip.compress(os.urandom(1_000))),
        ("x.tgz|untar", gzip.compress(PACKED)),
        ("x.tar.bz2|untar", bz2.compress(PACKED)),
        ("x.tar.xz|untar", lzma.compress(PACKED)),
        ("x.zip|unzip", zipped(*MEMBERS.items())),
    ],
)
def test_a_cut_or_damaged_archive_is_refused(tmp_path: Path, there: Path, name: str, packed: bytes) -> None:
    middle = len(packed) // 2
    for damaged in (packed[:-1], packed[:middle], packed[: len(packed) - 5] + b"\x55" * 5, b"", b"garbage"):
        (tmp_path / name.partition("|")[0]).write_bytes(damaged)
        with pytest.raises(FetchError):
            get(f"{tmp_path}/{name}", there)
    assert list(there.rglob("*")) == []


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path, there: Path) -> None:
    packed = bytearray(PACKED)
    packed[1024 + 3] ^= 1  # the second member's name
    (tmp_path / "x.tar").write_bytes(packed)
    with pytest.raises(FetchError, match="damaged archive: bad checksum"):
        get(f"{tmp_path}/x.tar|untar", there)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["tar", "zip", "gz"]),
    flips=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 255)), min_size=1, max_size=20),
    packed_as=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_whatever_bytes_are_flipped_only_a_fetch_error_is_raised(
    tmp_path: Path, kind: str, flips: list[tuple[int, int]], packed_as: int
) -> None:
    long_name = ("é" * 120, b"x")
    packed = bytearray(
        {
            "tar": lambda: tar(*MEMBERS.items(), long_name, name_format=packed_as),
            "zip": lambda: zipped(*MEMBERS.items(), long_name),
            "gz": lambda: gzip.compress(PACKED),
        }[kind]()
    )
    for place, mask in flips:
        packed[place % len(packed)] ^= mask
    if kind == "tar":  # beyond the checksum
        packed[148:156] = b"%06o\0 " % (sum(packed[:148]) + sum(packed[156:512]) + 256)
    (tmp_path / f"x.{kind}").write_bytes(packed)
    there = tmp_path / "there"
    action = {"tar": "untar", "zip": "unzip", "gz": "gunzip"}[kind]
    try:
        get(f"{tmp_path}/x.{kind}|{action}", there / os.urandom(8).hex())
    except FetchError as error:
        assert len(error.reason.splitlines()) == 1  # noqa: PT017
    assert not list(tmp_path.glob(".fetch-*"))
    assert {path.name for path in tmp_path.iterdir()} <= {"there", "x.tar", "x.zip", "x.gz"}


def test_stop_ends_it(tmp_path: Path, there: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"x"))
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped, match="gunzip: stopped"):
        get(f"{tmp_path}/x.gz|gunzip", there, stop=stop)
    assert list(there.rglob("*")) == []
