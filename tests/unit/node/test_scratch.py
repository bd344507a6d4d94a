import os
from pathlib import Path

import pytest

from scitq.errors import Conflict, UsageError
from scitq.node.scratch import Scratch


def test_a_worker_keeps_its_id(tmp_path: Path) -> None:
    first = Scratch(tmp_path / "s")
    first.join("mesh-a", unfinished=False)
    first.close()

    second = Scratch(tmp_path / "s")

    assert (second.worker, second.mesh, second.base) == (first.worker, "mesh-a", tmp_path / "s")


def test_a_second_agent_is_refused(tmp_path: Path) -> None:
    Scratch(tmp_path)

    with pytest.raises(Conflict, match="another scitq node"):
        Scratch(tmp_path)


def test_the_lock_tells_who_has_it(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("4194304 and more\n")

    Scratch(tmp_path)

    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_file_that_is_none_of_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / "worker.toml").write_text("not = [toml")

    with pytest.raises(UsageError, match=r"worker\.toml"):
        Scratch(tmp_path)


def test_a_place_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="--scratch"):
        Scratch(tmp_path / "file")


def test_what_one_mesh_left_stays_apart_from_the_next(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    scratch.join("mesh-a", unfinished=False)
    scratch.join("mesh-b", unfinished=True)
    assert scratch.base == tmp_path / "meshes/mesh-b"
    scratch.join("mesh-a", unfinished=False)
    assert scratch.base == tmp_path


def test_a_mesh_that_left_nothing_leaves_its_place(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    scratch.join("mesh-a", unfinished=False)
    scratch.join("mesh-b", unfinished=False)

    assert scratch.base == tmp_path


def test_what_failed_tasks_left_is_not_in_the_way_of_another_mesh(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    scratch.join("mesh-a", unfinished=False)
    (tmp_path / "tasks/1.1/tmp").mkdir(parents=True)

    scratch.join("mesh-b", unfinished=False)
    assert (scratch.base, (tmp_path / "tasks").exists()) == (tmp_path, False)
    scratch.join("mesh-a", unfinished=False)
    assert (scratch.base / "tasks/1.1/tmp").is_dir()
