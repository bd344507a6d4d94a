"""Copy and sync between local folders: what is done, what is said, and what stays."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq import fetch
from scitq.fetch import FetchError, Incomplete, Refused, copy, delete, sync
from scitq.fetch.backends import file as file_backend
from scitq.fetch.listing import looked_at
from scitq.fetch.storage import Entry, Watch


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source/sub").mkdir(parents=True)
    (tmp_path / "source/x").write_text("x")
    (tmp_path / "source/sub/y.data").write_text("yy")
    return tmp_path / "source"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


def seen(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_a_file_goes_where_cp_would_put_it(source: Path, there: Path) -> None:
    copy(source / "x", there / "new")
    copy(source / "x", f"{there}/folder/")
    copy(source / "x", there / "folder/sub/z")
    copy(source / "sub/y.data", there / "folder")
    assert seen(there) == ["folder/sub/z", "folder/x", "folder/y.data", "new"]


def test_a_folder_is_copied_by_a_final_slash_only(source: Path, there: Path) -> None:
    with pytest.raises(FetchError, match="source: is a folder"):
        copy(source, there)
    assert copy(f"{source}/", there) == (2, 3, 0, 0, 0, 0)
    assert copy(f"{source}/", f"{there}/") == (0, 0, 2, 0, 0, 0)
    assert seen(there) == ["sub/y.data", "x"]


def test_what_the_target_has_beside_stays_and_what_differs_is_replaced(source: Path, there: Path) -> None:
    there.mkdir()
    (there / "beside").write_text("mine")
    (there / "x").write_text("older and longer")
    assert sync(source, there).copied == 2
    assert (there / "x").read_text() == "x"
    assert (there / "beside").read_text() == "mine"


def test_patterns_say_what_is_meant_on_both_sides(source: Path, there: Path) -> None:
    there.mkdir()
    (there / "extra.data").touch()
    (there / "extra").touch()
    report = sync(source, there, include="*.data", delete=True)
    assert (report.copied, report.deleted) == (1, 1)
    assert seen(there) == ["extra", "sub/y.data"]


def test_a_dry_run_does_nothing(source: Path, there: Path) -> None:
    assert sync(source, there, dry_run=True).copied == 2
    assert not there.exists()
    sync(source, there)
    (there / "extra").touch()
    assert sync(source, there, dry_run=True, delete=True).deleted == 1
    assert delete(there, dry_run=True).deleted == 3
    assert seen(there) == ["extra", "sub/y.data", "x"]


def test_the_content_decides_when_asked(source: Path, there: Path) -> None:
    sync(source, there)
    status = (source / "x").stat()
    (source / "x").write_text("z")
    os.utime(source / "x", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert sync(source, there).copied == 0
    os.utime(source / "sub/y.data", (1, 1))
    report = sync(source, there, checksum=True)
    assert (report.copied, report.same) == (1, 1)
    assert (there / "x").read_text() == "z"


def test_every_failure_is_told_what_succeeds_stays_and_nothing_is_deleted(source: Path, there: Path) -> None:
    (source / "dead").symlink_to("nowhere")
    os.mkfifo(source / "sub/pipe")
    (there / "x").mkdir(parents=True)
    (there / "extra").touch()
    with pytest.raises(Incomplete) as caught:
        sync(source, there, delete=True)
    assert [(failed.name, failed.reason) for failed in sorted(caught.value.failures)] == [
        ("dead", "is a link that leads nowhere"),
        ("sub/pipe", "is neither a file nor a folder"),
        ("x", f"is a directory ({there}/x)"),
    ]
    assert caught.value.report == (1, 2, 0, 0, 3, 1)
    assert seen(there) == ["extra", "sub/y.data"]


def test_when_the_first_of_many_all_fail_alike_the_others_are_not_tried(
    source: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1000):
        (source / f"{number}").touch()
    tried = []

    def refuse(self: file_backend.Backend, path: str, entry: Entry, target: str, watch: Watch) -> int:
        tried.append(path)
        raise Refused("no right to write there", retry=False)

    monkeypatch.setattr(file_backend.Backend, "download", refuse)
    with pytest.raises(FetchError, match=r"there: no right to write there \(so ended the first 50 files\)"):
        sync(source, there)
    assert len(tried) < 150


def test_a_file_in_the_place_of_the_target_is_one_line(source: Path, there: Path) -> None:
    there.touch()
    with pytest.raises(FetchError, match="there/: is a file, not a folder"):
        sync(source, there)


def test_a_listing_that_breaks_deletes_nothing(source: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync(source, there)
    (there / "a").touch()
    walk = file_backend.Backend.walk

    def broken(self: file_backend.Backend, path: str) -> Iterator[Entry]:
        for entry in walk(self, path):
            yield entry
            if path.rstrip("/") == str(source):
                raise FetchError("connection reset", retry=True)

    monkeypatch.setattr(file_backend.Backend, "walk", broken)
    with pytest.raises(FetchError, match=r"source/: connection reset"):
        sync(source, there, delete=True)
    assert seen(there) == ["a", "sub/y.data", "x"]


def test_a_file_that_changes_while_it_is_copied_is_copied_as_it_then_is(
    source: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "pause", lambda *_: None)
    kernel = os.copy_file_range
    changes = [b"longer", b"even longer"]

    def change(reading: int, writing: int, count: int) -> int:
        if changes:
            (source / "x").write_bytes(changes.pop(0))
        return kernel(reading, writing, count)

    monkeypatch.setattr(os, "copy_file_range", change)
    copy(source / "x", there)
    assert there.read_bytes() == b"even longer"


def test_actions_are_carried_out_on_the_way(source: Path, there: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(source, "top")
    assert copy(f"{tmp_path}/a.tar.gz|untar|mv:in", there).copied == 2
    assert seen(there) == ["in/top/sub/y.data", "in/top/x"]
    with pytest.raises(FetchError, match="an action has no place in a sync"):
        sync(f"{tmp_path}/a.tar.gz|untar", there)


def test_a_link_to_a_folder_is_copied_as_its_content_and_nothing_is_deleted_through_it(
    source: Path, there: Path, tmp_path: Path
) -> None:
    (source / "link").symlink_to(source / "sub")
    assert sync(source, there).copied == 3
    assert (there / "link/y.data").read_text() == "yy"
    with pytest.raises(Incomplete) as caught:
        delete(source)
    assert [failed.name for failed in caught.value.failures] == ["link/y.data"]
    assert (source / "link").is_symlink()
    assert not (source / "sub").exists()


def test_folders_left_empty_go_with_what_was_deleted(source: Path) -> None:
    (source / "empty/deep").mkdir(parents=True)
    delete(source, include="*.data")
    assert sorted(path.name for path in source.iterdir()) == ["empty", "x"]
    delete(source)
    assert not source.exists()
    source.mkdir()
    assert delete(f"{source}/").deleted == 0
    assert not source.exists()


def test_what_is_not_whole_is_no_file(source: Path, there: Path) -> None:
    (source / ".fetch-0123456789abcdef").write_text("half")
    (source / ".fetch-0123456789abcdef.json").write_text("{}")
    (source / ".fetch-0123456789abcdef-0123456789abcdef/files").mkdir(parents=True)
    (source / ".fetch-0123456789abcdef-0123456789abcdef/files/x").touch()
    (source / ".fetchmailrc").touch()
    assert [entry.name for entry in fetch.list(f"{source}")] == [".fetchmailrc", "sub/y.data", "x"]


def test_names_of_the_manual_are_there() -> None:
    for name in fetch.__all__:
        assert getattr(fetch, name) is not None


def test_a_listed_address_leads_to_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "a|b\\"
    names = ["x", "y|z", "back\\", "back\\|slash", "sub|/deep\\|"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    text = f"{tmp_path}/a\\|b\\"
    for entry in fetch.list(text):
        address = looked_at(text).address(entry.name)
        assert fetch.info(address) == entry._replace(name=entry.name.rpartition("/")[2])
