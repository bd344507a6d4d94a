import os
import threading
from pathlib import Path

import pytest

from scitq.fetch import FetchError
from scitq.model import Resource
from scitq.node.disk import Disk
from scitq.node.progress import Progress
from scitq.node.resources import cache
from scitq.node.resources.cache import Resources
from tests.integration.mesh import until


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/tool").write_text("run")
    (folder / "bin/tool").chmod(0o750)
    (folder / "data").write_text("12345")
    return folder


@pytest.fixture
def always_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "ASK_S", 0.0)


def opened(tmp_path: Path) -> Resources:
    return Resources(tmp_path / "cache", Disk(tmp_path), Progress())


def link(resources: Resources, uri: str, into: Path) -> cache.Brought:
    """Into the folder of a task that has the folder's name."""
    into.mkdir(parents=True, exist_ok=True)
    brought = resources.bring(uri, into.name, threading.Event())
    resources.link(into.name, uri, str(into))
    return brought


def listed(resources: Resources) -> Resource:
    (one,) = resources.listed()
    return one


def test_it_is_fetched_once_for_all_tasks(tmp_path: Path, source: Path) -> None:
    resources = opened(tmp_path)

    first, version = link(resources, f"{source}/", tmp_path / "1")
    second, again = link(resources, f"{source}/", tmp_path / "2")

    assert (first, second) == (8, 0)
    assert version == again
    assert (tmp_path / "1/bin/tool").samefile(tmp_path / "2/bin/tool")
    one = listed(resources)
    assert (one.uri, one.status, one.size, one.files, one.in_use) == (f"{source}/", "here", 8, 2, 2)


def test_write_bits_go_and_execute_bits_stay(tmp_path: Path, source: Path) -> None:
    link(opened(tmp_path), f"{source}/", tmp_path / "1")

    assert os.stat(tmp_path / "1/bin/tool").st_mode & 0o777 == 0o555
    assert os.stat(tmp_path / "1/data").st_mode & 0o777 == 0o444


def test_it_is_still_there_after_a_restart(tmp_path: Path, source: Path) -> None:
    link(opened(tmp_path), f"{source}/data", tmp_path / "1")
    (source / "data").unlink()

    fetched, _ = link(opened(tmp_path), f"{source}/data", tmp_path / "2")

    assert fetched == 0
    assert (tmp_path / "2/data").read_text() == "12345"


def test_what_was_never_complete_is_dropped(tmp_path: Path, source: Path) -> None:
    link(opened(tmp_path), f"{source}/data", tmp_path / "1")
    (tmp_path / "cache/half").mkdir()
    (tmp_path / "cache/half/data").touch()

    opened(tmp_path)

    assert not (tmp_path / "cache/half").exists()
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_of_what_comes_only_what_can_be_gone_on_with_stays(tmp_path: Path, source: Path) -> None:
    """As after a kill in the moment when its files got their names."""
    resources = opened(tmp_path)
    link(resources, f"{source}/", tmp_path / "1")
    (here,) = (tmp_path / "cache").glob("*.*[0-9]")
    (tmp_path / "cache/index.json").unlink()
    here.rename(here.with_suffix(".coming"))
    (source / "bin/tool").unlink()

    link(opened(tmp_path), f"{source}/", tmp_path / "2")

    assert sorted(os.listdir(tmp_path / "2")) == ["data"]


def test_a_failed_fetch_leaves_nothing_and_may_be_tried_again(tmp_path: Path, source: Path) -> None:
    resources = opened(tmp_path)
    with pytest.raises(FetchError):
        link(resources, f"{source}/later", tmp_path / "1")
    assert list((tmp_path / "cache").iterdir()) == []
    (source / "later").write_text("1")

    assert link(resources, f"{source}/later", tmp_path / "1").bytes == 1


def test_of_two_files_of_one_name_the_later_resource_has_it(tmp_path: Path, source: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/data").write_text("other")
    resources = opened(tmp_path)

    link(resources, f"{source}/", tmp_path / "1")
    link(resources, f"{tmp_path}/other/", tmp_path / "1")
    link(resources, f"{tmp_path}/other/", tmp_path / "2")
    link(resources, f"{source}/", tmp_path / "2")

    assert (tmp_path / "1/data").read_text() == "other"
    assert (tmp_path / "2/data").read_text() == "12345"


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path, source: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/bin").write_text("a file")
    for first, second in ((f"{source}/", f"{tmp_path}/other/"), (f"{tmp_path}/other/", f"{source}/")):
        resources = opened(tmp_path)
        link(resources, first, tmp_path / first.replace("/", "_"))
        with pytest.raises(FetchError, match=r"bin(/tool)? is a file in one resource and a folder in another"):
            link(resources, second, tmp_path / first.replace("/", "_"))


def test_an_entry_that_somebody_removed_is_fetched_again(tmp_path: Path, source: Path) -> None:
    resources = opened(tmp_path)
    link(resources, f"{source}/data", tmp_path / "1")
    for entry in (tmp_path / "cache").iterdir():
        if entry.is_dir():
            (entry / "data").unlink()
            entry.rmdir()

    assert link(resources, f"{source}/data", tmp_path / "2").bytes == 5


@pytest.mark.usefixtures("always_asked")
def test_a_changed_source_is_fetched_again_and_who_uses_the_old_one_keeps_it(tmp_path: Path, source: Path) -> None:
    resources = opened(tmp_path)
    _, before = link(resources, f"{source}/data", tmp_path / "1")
    (source / "data").write_text("another")

    fetched, after = link(resources, f"{source}/data", tmp_path / "2")

    assert (fetched, after != before) == (7, True)
    assert (tmp_path / "1/data").read_text() == "12345"
    assert (tmp_path / "2/data").read_text() == "another"
    assert len(list((tmp_path / "cache").iterdir())) == 2  # the index, and the new one


def test_a_source_is_not_asked_again_at_once(tmp_path: Path, source: Path) -> None:
    resources = opened(tmp_path)
    link(resources, f"{source}/data", tmp_path / "1")
    (source / "data").write_text("another")

    assert link(resources, f"{source}/data", tmp_path / "2").bytes == 0


def test_what_a_command_changes_is_named_to_all_who_used_it_and_fetched_again(tmp_path: Path, source: Path) -> None:
    resources = opened(tmp_path)
    uri = f"{source}/data"
    for name in ("1", "2"):
        link(resources, uri, tmp_path / name)
    assert resources.changed("1") == []
    os.chmod(tmp_path / "1/data", 0o644)
    (tmp_path / "1/data").write_text("spoiled")

    assert (resources.changed("1"), resources.changed("2")) == ([uri], [uri])
    assert link(resources, uri, tmp_path / "3").bytes == 5
    assert resources.changed("3") == []
    assert (tmp_path / "3/data").read_text() == "12345"


def test_the_least_recently_used_goes_first_and_never_one_in_use(tmp_path: Path, source: Path) -> None:
    for name in "abc":
        (source / name).write_text(name * 5000)
    disk = Disk(tmp_path)
    resources = Resources(tmp_path / "cache", disk, Progress())
    for age, name in enumerate("bac"):
        link(resources, f"{source}/{name}", tmp_path / name)
        resources.release(name)
        (entry,) = [path for path in (tmp_path / "cache").glob("*.*[0-9]") if (path / name).exists()]
        os.utime(entry, (1000 + age, 1000 + age))
    resources.take_up("3.1", {one.uri: one.version for one in resources.listed() if one.uri == f"{source}/b"})

    disk._make(1)

    assert [one.uri for one in resources.listed()] == [f"{source}/b", f"{source}/c"]
    assert {one.uri: one.in_use for one in resources.listed()} == {f"{source}/b": 1, f"{source}/c": 0}


def test_many_who_ask_at_once_share_one_fetch_and_one_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = opened(tmp_path)
    looks: list[str] = []
    together = threading.Barrier(8)
    all_ask = threading.Event()

    def fails(uri: str, **_: object) -> None:
        looks.append(uri)
        assert all_ask.wait(30)
        raise FetchError("gone", retry=False)

    monkeypatch.setattr(cache, "look", fails)
    said: list[str] = []

    def ask(name: str) -> None:
        together.wait(30)
        try:
            resources.bring("/there", name, threading.Event())
        except FetchError as error:
            said.append(error.reason)

    threads = [threading.Thread(target=ask, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: resources._turns.waiting("/there") == 8, "all have asked")
    all_ask.set()
    for thread in threads:
        thread.join(30)

    assert (looks, said) == (["/there"], ["gone"] * 8)
