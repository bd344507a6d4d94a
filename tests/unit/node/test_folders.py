import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scitq.node import folders
from scitq.node.folders import PARTS, Folders


def entries(path: str | Path) -> set[str]:
    return set(os.listdir(path))


def test_a_folder_has_its_four_parts_for_its_user_alone(tmp_path: Path) -> None:
    path = Folders(f"{tmp_path}/tasks").make("1.1")

    assert entries(path) == set(PARTS)
    assert {os.stat(f"{path}/{part}").st_mode & 0o777 for part in PARTS} == {0o700}


def test_an_untouched_folder_is_given_to_the_next(tmp_path: Path) -> None:
    all_folders = Folders(f"{tmp_path}/tasks")
    first = all_folders.make("1.1")
    inode = os.stat(first).st_ino

    assert all_folders.untouched("1.1")
    assert all_folders.take_back("1.1")
    second = all_folders.make("2.1")

    assert os.stat(second).st_ino == inode
    assert not os.path.exists(first)


def leave_a_file(path: str) -> None:
    Path(path, "tmp", "x").touch()


def leave_a_file_beside(path: str) -> None:
    Path(path, "x").touch()


def put_a_link_in_place(path: str) -> None:
    os.rmdir(f"{path}/output")
    os.symlink("/var/empty", f"{path}/output")


def change_the_mode(path: str) -> None:
    os.chmod(f"{path}/input", 0o500)


def take_one_away(path: str) -> None:
    os.rmdir(f"{path}/input")


@pytest.mark.parametrize(
    "touch", [leave_a_file, leave_a_file_beside, put_a_link_in_place, change_the_mode, take_one_away]
)
def test_a_touched_folder_is_known(tmp_path: Path, touch: Callable[[str], None]) -> None:
    all_folders = Folders(f"{tmp_path}/tasks")
    touch(all_folders.make("1.1"))

    assert not all_folders.untouched("1.1")


def test_a_spare_that_somebody_removed_is_made_anew(tmp_path: Path) -> None:
    all_folders = Folders(f"{tmp_path}/tasks")
    folders.remove(all_folders.make("1.1"))
    all_folders.make("2.1")
    all_folders.take_back("2.1")
    folders.remove(all_folders.path("2.1"))

    assert entries(all_folders.make("3.1")) == set(PARTS)


def test_a_sweep_spares_what_is_held_and_what_is_worth_something(tmp_path: Path) -> None:
    all_folders = Folders(f"{tmp_path}/tasks")
    for name in ("1.1", "2.1", "3.1"):
        all_folders.make(name)
    leave_a_file(all_folders.path("3.1"))
    folders.make_parts(all_folders.staging("4.1"))
    leave_a_file(all_folders.staging("4.1"))

    all_folders.sweep({"1.1"})

    assert entries(tmp_path / "tasks") == {"1.1", "3.1"}


def test_whatever_modes_a_task_left_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "1.1"
    (path / "tmp/deep/deeper").mkdir(parents=True)
    (path / "tmp/deep/file").touch()
    (path / "tmp/deep/deeper").chmod(0)
    (path / "tmp/deep").chmod(0o500)

    folders.remove(str(path))

    assert not path.exists()


@pytest.mark.parametrize("name", ["1.1", "2.1"])
def test_removing_a_folder_leaves_the_mode_of_the_one_above(tmp_path: Path, name: str) -> None:
    all_folders = Folders(f"{tmp_path}/tasks")
    leave_a_file(all_folders.make("1.1"))

    all_folders.remove(name)

    assert os.stat(f"{tmp_path}/tasks").st_mode & 0o777 == 0o711, "tasks of other users pass through it"
