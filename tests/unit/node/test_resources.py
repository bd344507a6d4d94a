import os
import threading
from pathlib import Path

import pytest

from scitq.fetch import FetchError
from scitq.node.resources import Resources


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/tool").write_text("run")
    (folder / "bin/tool").chmod(0o750)
    (folder / "data").write_text("12345")
    return folder


def link(resources: Resources, uri: str, into: Path) -> tuple[int, str]:
    into.mkdir(parents=True, exist_ok=True)
    return resources.link(uri, str(into), threading.Event())


def test_it_is_fetched_once_for_all_tasks(tmp_path: Path, source: Path) -> None:
    resources = Resources(tmp_path / "cache")

    first, version = link(resources, f"{source}/", tmp_path / "1")
    second, again = link(resources, f"{source}/", tmp_path / "2")

    assert (first, second) == (8, 0)
    assert version == again
    assert (tmp_path / "1/bin/tool").samefile(tmp_path / "2/bin/tool")


def test_write_bits_go_and_execute_bits_stay(tmp_path: Path, source: Path) -> None:
    link(Resources(tmp_path / "cache"), f"{source}/", tmp_path / "1")

    assert os.stat(tmp_path / "1/bin/tool").st_mode & 0o777 == 0o555
    assert os.stat(tmp_path / "1/data").st_mode & 0o777 == 0o444


def test_it_is_still_there_after_a_restart(tmp_path: Path, source: Path) -> None:
    link(Resources(tmp_path / "cache"), f"{source}/data", tmp_path / "1")
    (source / "data").unlink()

    fetched, _ = link(Resources(tmp_path / "cache"), f"{source}/data", tmp_path / "2")

    assert fetched == 0
    assert (tmp_path / "2/data").read_text() == "12345"


def test_what_was_never_complete_is_dropped(tmp_path: Path, source: Path) -> None:
    link(Resources(tmp_path / "cache"), f"{source}/data", tmp_path / "1")
    (tmp_path / "cache/half").mkdir()
    (tmp_path / "cache/half/data").touch()

    Resources(tmp_path / "cache")

    assert not (tmp_path / "cache/half").exists()
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_failed_fetch_leaves_nothing_and_may_be_tried_again(tmp_path: Path, source: Path) -> None:
    resources = Resources(tmp_path / "cache")
    with pytest.raises(FetchError):
        link(resources, f"{source}/later", tmp_path / "1")
    assert list((tmp_path / "cache").iterdir()) == []
    (source / "later").write_text("1")

    assert link(resources, f"{source}/later", tmp_path / "1")[0] == 1


def test_two_resources_of_one_name_are_refused(tmp_path: Path, source: Path) -> None:
    resources = Resources(tmp_path / "cache")
    link(resources, f"{source}/data", tmp_path / "1")

    with pytest.raises(FetchError, match="data is already there"):
        link(resources, f"{source}/", tmp_path / "1")


def test_an_entry_that_somebody_removed_is_fetched_again(tmp_path: Path, source: Path) -> None:
    resources = Resources(tmp_path / "cache")
    link(resources, f"{source}/data", tmp_path / "1")
    for entry in (tmp_path / "cache").iterdir():
        if entry.is_dir():
            (entry / "data").unlink()
            entry.rmdir()

    assert link(resources, f"{source}/data", tmp_path / "2")[0] == 5
