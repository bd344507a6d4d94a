"""What holds on every storage: one table of behaviours."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from scitq import fetch
from scitq.fetch import FetchError, NotThere, Refused, copy, delete, du, exists, get, info, nrlist, put, sync
from scitq.fetch.settings import settings
from tests.integration.fetch.storages import BY_ONE_PORT, DENYING, STORAGES, Storage
from tests.servers.cutting import cutting
from tests.sources import ROOT

DEADLINE = 30.0
NAMES = (
    *("plain.txt", "a b", "#", "a#b", "x?y", "50%", "%41", "%2F", "a+b", "a&b=c", "a|b", "'", '"q"'),
    *(
        "été",
        "e\u0301",
        "日本語",
        "😀",
        "~tilde",
        "-dash",
        ".hidden",
        "a:b",
        "a;b",
        "a,b",
        "[x]",
        "{y}",
        "(z)",
        "$HOME",
    ),
    *("deep/er/than/one", "deep/er/two", "deep-er", "deep.er", "UPPER", "upper", "trailing.", "*", "a'b<c>d"),
)


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    (tmp_path / "server").mkdir()
    with STORAGES[request.param](tmp_path / "server") as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        yield running
    settings.cache_clear()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(address: str) -> list[str]:
    return [entry.name for entry in fetch.list(address)]


def address(storage: Storage, name: str) -> str:
    """A `|` in a name is written with a backslash."""
    return f"{storage.address}/{name}".replace("\\|", "\\\\\\|").replace("|", "\\|")


def told(address: str) -> str:
    """An address as messages give it: without a password."""
    return re.sub(r"(://[^:/@]*:)[^/@]*@", r"\1***@", address)


def command(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "scitq.fetch", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_names_of_all_kinds_and_empty_files_go_there_and_back(storage: Storage, here: Path, tmp_path: Path) -> None:
    files = {name: name.encode("utf-8", "surrogateescape") for name in (*NAMES, *storage.odd_names)}
    files |= {"empty": b"", "deep/empty": b""}
    write(here, files)

    assert sync(here, storage.address).copied == len(files)

    assert names(storage.address) == sorted(files)
    assert names(storage.address + "/") == sorted(files)
    assert {entry.size for entry in fetch.list(storage.address) if "empty" in entry.name} == {0}
    assert du(storage.address) == (len(files), sum(map(len, files.values())))
    assert sync(storage.address, tmp_path / "back").copied == len(files)
    assert read(tmp_path / "back") == files
    assert set(get(storage.address + "/", tmp_path / "got").names) == set(files)
    assert read(tmp_path / "got") == files


def test_each_name_is_reached_by_its_address(storage: Storage, here: Path, tmp_path: Path) -> None:
    write(here, {name: name.encode() for name in NAMES})
    put(here, storage.address)
    for name in NAMES:
        assert info(address(storage, name)).name == name.rpartition("/")[2]
        copy(address(storage, name), tmp_path / "one")
        assert (tmp_path / "one").read_bytes() == name.encode()
        (tmp_path / "one").unlink()
    for name in NAMES[::5]:
        delete(address(storage, name))
        assert not exists(address(storage, name))
    assert names(storage.address) == sorted(set(NAMES) - set(NAMES[::5]))


def test_what_was_copied_is_not_copied_again_and_what_changed_is(
    storage: Storage, here: Path, tmp_path: Path
) -> None:
    back = tmp_path / "back"
    write(here, {"a": b"12345", "sub/b": b"12345", "c": b"1"})
    os.utime(here / "a", (1e9, 1e9))
    assert sync(here, storage.address).copied == 3
    assert sync(storage.address, back).copied == 3
    for source, target in ((here, storage.address), (storage.address, back), (back, storage.address)):
        report = sync(source, target)
        assert (report.copied, report.same) == (0, 3), (source, target)

    # A change that keeps the size, in the ordinary case: the file is younger than its copy.
    later = time.time() + 100
    (here / "sub/b").write_bytes(b"54321")
    os.utime(here / "sub/b", (later, later))
    assert sync(here, storage.address, dry_run=True).copied == 1
    copied_at = (back / "sub/b").stat().st_mtime
    assert sync(here, storage.address).copied == 1
    while (info(address(storage, "sub/b")).modified or 0) <= copied_at:  # some tell times by the second
        delete(address(storage, "sub/b"))
        copy(here / "sub/b", address(storage, "sub/b"))
    assert sync(storage.address, back).copied == 1
    assert (back / "sub/b").read_bytes() == b"54321"


def test_a_sync_that_deletes_leaves_the_source_and_nothing_else(storage: Storage, here: Path) -> None:
    write(here, {"keep": b"1", "sub/keep.log": b"2"})
    sync(here, storage.address)
    write(here, {"sub/extra": b"3", "extra.log": b"4", "sub-x": b"5"})
    sync(here, storage.address)
    for name in ("sub/extra", "extra.log", "sub-x"):
        (here / name).unlink()

    assert sync(here, storage.address, delete=True, dry_run=True).deleted == 3
    assert len(names(storage.address)) == 5
    assert sync(here, storage.address, delete=True, exclude=["*.log"]).deleted == 2
    assert names(storage.address) == ["extra.log", "keep", "sub/keep.log"]
    assert sync(here, storage.address, delete=True).deleted == 1
    assert names(storage.address) == ["keep", "sub/keep.log"]


def test_a_deletion_never_touches_a_neighbour(storage: Storage, here: Path) -> None:
    files = ("myfolder/x", "myfolder/sub/y", "myfolder2/x", "myfolder-x", "myfolder.txt", "my")
    write(here, dict.fromkeys(files, b"1"))
    put(here, storage.address)

    assert delete(f"{storage.address}/myfolder", dry_run=True).deleted == 2
    assert len(names(storage.address)) == 6
    assert names(f"{storage.address}/myfolder") == ["sub/y", "x"]
    assert delete(f"{storage.address}/myfolder").deleted == 2
    assert names(storage.address) == sorted(files[2:])
    assert not exists(f"{storage.address}/myfolder")
    assert not exists(f"{storage.address}/myfolder/")


def test_one_level_is_listed_with_its_folders(storage: Storage, here: Path) -> None:
    write(here, dict.fromkeys(("x", "sub/y", "sub/deep/z", "sub-a", "sub0"), b"1"))
    put(here, storage.address)

    assert [entry.name for entry in nrlist(storage.address)] == ["sub-a", "sub/", "sub0", "x"]
    assert [entry.name for entry in nrlist(f"{storage.address}/sub/")] == ["deep/", "y"]
    assert info(f"{storage.address}/sub").name == "sub/"


def test_an_empty_folder_is_nothing_to_do(storage: Storage, here: Path, tmp_path: Path) -> None:
    report = sync(here, storage.address)
    assert (report.copied, report.same) == (0, 0)
    assert put(here, storage.address) == ((), 0)
    if not storage.has_folders:
        assert not exists(storage.address)
        with pytest.raises(NotThere):
            names(storage.address)
        with pytest.raises(NotThere):
            sync(storage.address, tmp_path / "back", delete=True)


def test_what_is_missing_is_one_line_and_deletes_nothing(storage: Storage, here: Path, tmp_path: Path) -> None:
    write(here, {"x": b"1"})
    put(here, storage.address)
    for missing in ("none", "none/", "x/y", "x/"):
        text = f"{storage.address}/{missing}"
        assert not exists(text)
        for verb in (names, delete, partial(get, folder=tmp_path / "got")):
            with pytest.raises(FetchError) as caught:
                verb(text)
            assert caught.value.reason.startswith(told(text))
            assert len(caught.value.reason.splitlines()) == 1
            assert not caught.value.retry
    with pytest.raises(FetchError):
        sync(f"{storage.address}/none", here, delete=True)
    assert read(here) == {"x": b"1"}
    assert names(storage.address) == ["x"]
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("storage", DENYING, indirect=True)
def test_what_is_denied_is_one_line(storage: Storage, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = storage.refused_address or storage.address
    for name, value in storage.refused.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    write(here, {"x": b"1"})
    for verb in (lambda: names(address), lambda: sync(here, address)):
        with pytest.raises(Refused) as caught:
            verb()
        assert caught.value.reason.startswith(told(address))
        assert len(caught.value.reason.splitlines()) == 1


@pytest.mark.timeout(120)
def test_thousands_of_files(storage: Storage, here: Path, tmp_path: Path) -> None:
    files = {f"d{number % 7}/f{number:05}": b"%d" % number for number in range(storage.many)}
    write(here, files)

    assert sync(here, storage.address, parallel=8).copied == storage.many
    assert names(storage.address) == sorted(files)
    assert sync(here, storage.address).same == storage.many
    assert sync(storage.address, tmp_path / "back").copied == storage.many
    assert read(tmp_path / "back") == files
    assert delete(storage.address).deleted == storage.many
    with pytest.raises(NotThere):
        names(storage.address)


def test_folders_go_from_one_place_to_another_of_the_same_storage(storage: Storage, here: Path) -> None:
    files = {"x": b"1", "sub/été": b"2" * 100_000, "empty": b""}
    write(here, files)
    put(here, f"{storage.address}/one")

    assert sync(f"{storage.address}/one", f"{storage.address}/two").copied == 3
    assert sync(f"{storage.address}/one", f"{storage.address}/two").copied == 0
    assert names(f"{storage.address}/two") == sorted(files)
    for wrong in (f"{storage.address}/one", f"{storage.address}/one/", f"{storage.address}/one/sub"):
        with pytest.raises(FetchError, match=r"is the source itself|lies in the source"):
            sync(f"{storage.address}/one", wrong)
    with pytest.raises(FetchError, match="would be deleted"):
        sync(f"{storage.address}/one/sub", f"{storage.address}/one", delete=True)


@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_copy_that_was_killed_goes_on_and_leaves_nothing_else(
    storage: Storage, here: Path, tmp_path: Path, direction: str
) -> None:
    files = {f"small{number}": b"%d" % number for number in range(20)} | {"large": os.urandom(24 << 20)}
    write(here, files)
    back = tmp_path / "back"
    if direction == "down":
        put(here, storage.address)
        words = [f"{storage.address}/", str(back)]
    else:
        words = [f"{here}/", storage.address]

    killed = command("copy", *words, "--limit-rate", "12M")
    deadline = time.monotonic() + DEADLINE
    while not _begun(back if direction == "down" else None, storage):
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    again = command("copy", *words)
    told, said = again.communicate(timeout=DEADLINE)
    assert again.returncode == 0, said
    assert "copied " in told
    if direction == "up":
        assert names(storage.address) == sorted(files)
        sync(storage.address, back)
    assert {name: hashlib.md5(content).digest() for name, content in read(back).items()} == {
        name: hashlib.md5(content).digest() for name, content in files.items()
    }


@pytest.mark.parametrize("storage", BY_ONE_PORT, indirect=True)
@pytest.mark.parametrize("direction", ["down", "up"])
def test_what_is_cut_in_the_middle_goes_on(
    storage: Storage, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: str
) -> None:
    write(here, {"large": os.urandom(12 << 20), "small": b"1"})
    if direction == "down":
        put(here, storage.address)
    (variable, config) = next(iter(storage.environment.items()))
    with cutting(storage.port) as way:
        through = tmp_path / "through.toml"
        through.write_text(Path(config).read_text().replace(f":{storage.port}", f":{way.port}"))
        through.chmod(0o600)
        monkeypatch.setenv(variable, str(through))
        settings.cache_clear()
        way.after, way.cuts = 1 << 20, 2
        report = sync(storage.address, tmp_path / "back") if direction == "down" else sync(here, storage.address)
        assert report.copied == 2
        assert way.cuts <= 0
    monkeypatch.setenv(variable, config)
    settings.cache_clear()
    if direction == "up":
        get(f"{storage.address}/", tmp_path / "back")
    assert read(tmp_path / "back") == read(here)


def _begun(back: Path | None, storage: Storage) -> bool:
    """Whether some files are there, the large one not."""
    try:
        found = {path.name for path in back.iterdir()} if back else set(names(storage.address))
    except (FileNotFoundError, NotThere):
        return False
    return any(name.startswith("small") for name in found) and "large" not in found


def test_an_interrupted_copy_is_one_line_and_goes_on(storage: Storage, here: Path, tmp_path: Path) -> None:
    write(here, {"large": os.urandom(24 << 20), "small": b"1"})
    put(here, storage.address)
    back = tmp_path / "back"
    stopped = command("copy", f"{storage.address}/", str(back), "--limit-rate", "8M", "--json")
    deadline = time.monotonic() + DEADLINE
    while not (back / "small").exists():
        assert stopped.poll() is None, stopped.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    stopped.send_signal(signal.SIGINT)
    _, said = stopped.communicate(timeout=DEADLINE)

    assert (stopped.returncode, said) == (130, "scitq: interrupted\n")
    assert not (back / "large").exists()
    again = command("copy", f"{storage.address}/", str(back), "--json")
    told, _ = again.communicate(timeout=DEADLINE)
    assert [outcome["name"] for outcome in json.loads(told)] == ["large"]
    assert read(back) == read(here)
