import os
from pathlib import Path

import pytest

from scitq.fetch import FetchError, Stored, put
from scitq.node import results
from scitq.node.progress import Progress
from scitq.node.results import TOLD_BYTES, lead_here, told, upload
from tests.unit.node.no_pause import NoPause


@pytest.fixture
def task(tmp_path: Path) -> Path:
    for part in ("input", "output", "tmp", "resource"):
        (tmp_path / "task" / part).mkdir(parents=True)
    return tmp_path / "task"


def fails(monkeypatch: pytest.MonkeyPatch, failures: list[FetchError]) -> None:
    def pretend(*words: object, **options: object) -> Stored:
        if failures:
            raise failures.pop(0)
        return put(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(results, "put", pretend)


def test_an_upload_is_tried_again_with_growing_pauses(
    tmp_path: Path, task: Path, stop: NoPause, monkeypatch: pytest.MonkeyPatch
) -> None:
    (task / "output/x").write_text("12")
    fails(monkeypatch, [FetchError("busy", True)] * 4)

    stored = upload("1.1", f"{task}/output", f"{tmp_path}/results", stop, Progress())

    assert (stored.stored, stored.bytes_out, stored.problem) == ((("x", 2),), 2, "")
    assert stop.pauses == list(results.PAUSES[:4])


def test_an_upload_that_cannot_work_says_why_at_once(
    tmp_path: Path, task: Path, stop: NoPause, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, [FetchError("forbidden", False)])

    assert upload("1.1", f"{task}/output", f"{tmp_path}/results", stop, Progress()).problem == "forbidden"
    assert stop.pauses == []


def test_links_of_others_are_followed_inside_their_own_folder_only(tmp_path: Path, task: Path, stop: NoPause) -> None:
    (tmp_path / "secret").write_text("secret")
    (task / "tmp/made").write_text("made")
    (task / "tmp/deep").mkdir()
    (task / "tmp/deep/out").symlink_to(tmp_path / "secret")
    (task / "output/made").symlink_to("../tmp/made")
    (task / "output/secret").symlink_to(tmp_path / "secret")
    (task / "output/deep").symlink_to(task / "tmp/deep")

    refused = upload("1.1", f"{task}/output", f"{tmp_path}/results", stop, Progress(), [str(task)])
    followed = upload("1.1", f"{task}/output", f"{tmp_path}/all", stop, Progress())

    assert refused.problem == (
        f"{tmp_path}/results: 2 not stored, 1 stored; first: deep/out: is a link out of the folder"
    )
    assert os.listdir(tmp_path / "results") == ["made"]
    assert [name for name, _ in followed.stored] == ["deep/out", "made", "secret"]


def test_links_of_a_container_lead_where_they_led_inside(tmp_path: Path, task: Path, stop: NoPause) -> None:
    (task / "output/sub").mkdir()
    (task / "output/a").write_text("a")
    (task / "tmp/b").write_text("b")
    (task / "output/sub/a").symlink_to("/output/a")
    (task / "output/b").symlink_to("/tmp/b")
    (task / "output/outside").symlink_to("/etc/hostname")

    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/c").write_text("c")
    (task / "output/c").symlink_to("/data/c")

    lead_here(str(task), f"{tmp_path}/shared")
    done = upload("1.1", f"{task}/output", f"{tmp_path}/results", stop, Progress(), [str(task), f"{tmp_path}/shared"])

    assert "first: outside: is a link out of the folder" in done.problem
    assert (tmp_path / "results/sub/a").read_text() == "a"
    assert (tmp_path / "results/b").read_text() == "b"
    assert (tmp_path / "results/c").read_text() == "c"
    assert done.stored == (("a", 1), ("b", 1), ("c", 1), ("sub/a", 1))


def test_a_long_list_of_results_ends_with_a_number() -> None:
    files = [(f"{number:0100}", 3) for number in range(10_000)]

    listed = told(files)

    assert sum(len(name) for name, _ in listed) <= TOLD_BYTES
    assert listed[-1] == (f"… and {10_000 - len(listed) + 1} more", 3 * (10_000 - len(listed) + 1))
    assert told(files[:10]) == tuple(files[:10])


def test_a_name_that_is_no_text_is_told_as_text() -> None:
    assert told([(os.fsdecode(b"caf\xe9"), 1)]) == (("caf\\udce9", 1),)
