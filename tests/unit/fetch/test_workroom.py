"""The folder for what others' programs write: one at a time, kept after a failure, gone after success."""

import fcntl
import os
from pathlib import Path

import pytest

from scitq.fetch.backends.workroom import leave, workroom
from scitq.fetch.partial import NOT_WHOLE
from scitq.fetch.storage import FetchError


def fail(folder: Path) -> None:
    """Begin something in the room "one", and give up."""
    with workroom(str(folder), "one") as room:
        Path(room, "x").write_text("half")
        raise ZeroDivisionError


def test_it_is_gone_after_success_and_was_no_finished_name(tmp_path: Path) -> None:
    with workroom(str(tmp_path / "new"), "one") as room:
        Path(room, "x").write_text("x")
        assert NOT_WHOLE.fullmatch(Path(room).name)

    assert os.listdir(tmp_path / "new") == []


def test_what_failed_is_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fail(tmp_path)

    with workroom(str(tmp_path), "two") as other:
        assert os.listdir(other) == []
    with workroom(str(tmp_path), "one") as again:
        assert Path(again, "x").read_text() == "half"


def test_nobody_enters_while_somebody_works_there(tmp_path: Path) -> None:
    with workroom(str(tmp_path), "one") as room:
        with pytest.raises(FetchError, match="another process is fetching the same"), workroom(str(tmp_path), "one"):
            pass
        leave(str(tmp_path), "one")
        assert os.path.isdir(room)


def test_nobody_works_in_a_room_that_was_removed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.flock

    def late(fd: int, how: int) -> None:
        os.rmdir(f"/proc/self/fd/{fd}/../" + os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)

    with pytest.raises(FetchError) as caught, workroom(str(tmp_path), "one"):
        pass
    assert caught.value.retry


def test_what_was_kept_can_be_left(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fail(tmp_path)

    leave(str(tmp_path), "one")
    leave(str(tmp_path), "never there")

    assert os.listdir(tmp_path) == []
