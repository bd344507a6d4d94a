import os
from pathlib import Path

import pytest

from scitq.node.folders import Folders
from scitq.node.leftovers import Leftovers


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(str(tmp_path))


def filled(folders: Folders, name: str, at: float) -> None:
    (Path(folders.make(name)) / "tmp/core").write_bytes(b"x" * 10_000)
    os.utime(folders.path(name), (at, at))


def test_what_is_held_and_what_is_empty_is_none(tmp_path: Path, folders: Folders) -> None:
    left = Leftovers(str(tmp_path))
    filled(folders, "1.1", 10)
    filled(folders, "2.1", 10)
    folders.make("3.1")
    left.claim("1.1")

    count, size = left.clean()

    assert (count, size > 10_000) == (1, True)
    assert sorted(os.listdir(tmp_path)) == ["1.1", "3.1"]
    left.let_go("1.1")
    assert left.clean()[0] == 1


def test_the_oldest_is_the_first_to_go(tmp_path: Path, folders: Folders) -> None:
    left = Leftovers(str(tmp_path))
    for name, at in (("1.1", 30), ("2.1", 10), ("3.1", 20)):
        filled(folders, name, at)

    first = min(left.spares(), key=lambda spare: spare.used_at)

    assert first.remove() >= 10_000
    assert sorted(os.listdir(tmp_path)) == ["1.1", "3.1"]
    assert first.remove() == 0


def test_what_is_held_since_it_was_listed_stays(tmp_path: Path, folders: Folders) -> None:
    left = Leftovers(str(tmp_path))
    filled(folders, "1.1", 10)
    (spare,) = left.spares()
    left.claim("1.1")

    assert spare.remove() == 0
    assert (tmp_path / "1.1/tmp/core").exists()


def test_what_this_user_may_not_remove_is_insisted_on(
    tmp_path: Path, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    insisted: list[str] = []
    left = Leftovers(str(tmp_path), insisted.append)
    filled(folders, "1.1", 10)
    monkeypatch.setattr("scitq.node.leftovers.remove", lambda path: None)

    left.clean()

    assert insisted == [f"{tmp_path}/.gone-1.1"]


def test_inputs_that_came_are_handed_to_the_next_attempt_at_the_same_task(tmp_path: Path, folders: Folders) -> None:
    left = Leftovers(str(tmp_path))
    for name, at in (("7.1", 10), (".staging-7.2", 20), ("77.1", 30), (".staging-7.3", 40)):
        arriving = tmp_path / name / "arriving"
        arriving.mkdir(parents=True)
        (arriving / name.strip(".")).touch()
        os.utime(tmp_path / name, (at, at))
    left.claim("7.3")
    left.claim("7.4")

    left.hand_over("7.4", folders.begin("7.4"))

    assert os.listdir(tmp_path / ".staging-7.4/arriving") == ["staging-7.2"]
