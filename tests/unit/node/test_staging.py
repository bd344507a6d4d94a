import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scitq.fetch import Fetched, FetchError, TimedOut
from scitq.model import Spec
from scitq.node import arrivals, staging
from scitq.node.disk import Disk
from scitq.node.folders import Folders
from scitq.node.leftovers import Leftovers
from scitq.node.progress import Progress
from scitq.node.resources.cache import Resources
from scitq.node.staging import NotStaged, Store, stage
from tests.unit.node.no_pause import NoPause


@pytest.fixture
def store(tmp_path: Path) -> Store:
    tasks = f"{tmp_path}/tasks"
    disk = Disk(tmp_path)
    progress = Progress()
    resources = Resources(tmp_path / "resources", disk, progress)
    return Store(Folders(tasks), Leftovers(tasks), resources, disk, progress)


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, list[FetchError]], list[float | None]]:
    """Let `get` fail in this way before it does what it is asked to; gives the limits it was told."""

    def arrange(name: str, failures: list[FetchError]) -> list[float | None]:
        limits: list[float | None] = []
        real = getattr(arrivals, name)

        def pretend(*words: object, **options: object) -> Fetched:
            limits.append(options.get("limit_s"))  # type: ignore[arg-type]
            if failures:
                raise failures.pop(0)
            return real(*words, **options)  # type: ignore[no-any-return]

        monkeypatch.setattr(arrivals, name, pretend)
        return limits

    return arrange


def test_a_folder_has_its_last_name_when_its_command_starts(tmp_path: Path, store: Store, stop: NoPause) -> None:
    (tmp_path / "a").write_text("12345")
    (tmp_path / "b").write_text("123")

    staged = stage("1.1", Spec(inputs=(f"{tmp_path}/a",), resources=(f"{tmp_path}/b",)), None, store, stop)

    assert not os.path.exists(store.folders.path("1.1"))
    store.folders.staged("1.1")
    assert (staged.bytes_in, set(staged.versions)) == (8, {f"{tmp_path}/a", f"{tmp_path}/b"})
    assert os.listdir(f"{store.folders.path('1.1')}/input") == ["a"]
    assert os.listdir(f"{store.folders.path('1.1')}/resource") == ["b"]
    assert os.listdir(tmp_path / "tasks") == ["1.1"]


def test_what_may_work_later_is_tried_again(
    tmp_path: Path, store: Store, stop: NoPause, fails: Callable[..., list[float | None]]
) -> None:
    (tmp_path / "a").write_text("12345")
    fails("get", [FetchError("busy", True), FetchError("busy", True)])

    staged = stage("1.1", Spec(inputs=(f"{tmp_path}/a",)), None, store, stop)

    assert staged.bytes_in == 5
    assert stop.pauses == list(staging.STAGING_PAUSES[:2])


class Listening(NoPause):
    """What there is to say of an attempt whenever it pauses."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self.heard: list[tuple[str, ...]] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.heard.append(self._progress.lines("1.1"))
        return super().wait(timeout)


def test_what_is_tried_again_says_when_and_why(
    tmp_path: Path, store: Store, fails: Callable[..., list[float | None]]
) -> None:
    (tmp_path / "a").write_text("12345")
    fails("get", [FetchError("busy", True)])
    stop = Listening(store.progress)

    stage("1.1", Spec(inputs=(f"{tmp_path}/a",)), None, store, stop)

    assert stop.heard == [(f"{tmp_path}/a: tried again in 1 s: busy",)]
    assert store.progress.lines("1.1") == ()


@pytest.mark.parametrize(
    ("failures", "class_", "pauses"),
    [
        ([FetchError("gone", False)], "download", 0),
        ([FetchError("busy", True)] * 9, "download", len(staging.STAGING_PAUSES)),
        ([TimedOut("slow", True)], "timeout", 0),
    ],
)
def test_what_cannot_work_is_told(
    tmp_path: Path,
    store: Store,
    stop: NoPause,
    fails: Callable[..., list[float | None]],
    failures: list[FetchError],
    class_: str,
    pauses: int,
) -> None:
    (tmp_path / "a").write_text("12345")
    fails("get", list(failures))

    with pytest.raises(NotStaged) as caught:
        stage("1.1", Spec(inputs=(f"{tmp_path}/a",)), None, store, stop)

    assert (caught.value.class_, caught.value.reason) == (class_, failures[0].reason)
    assert len(stop.pauses) == pauses


def test_the_download_timeout_bounds_all_of_it(
    tmp_path: Path, store: Store, stop: NoPause, fails: Callable[..., list[float | None]]
) -> None:
    (tmp_path / "a").write_text("12345")
    limits = fails("get", [])
    stage("1.1", Spec(inputs=(f"{tmp_path}/a",), download_timeout=50.0), None, store, stop)
    assert limits[0] is not None
    assert 0 < limits[0] <= 50

    with pytest.raises(NotStaged) as caught:
        stage("2.1", Spec(inputs=(f"{tmp_path}/a",), download_timeout=0.0), None, store, stop)
    assert caught.value.class_ == "timeout"


def test_two_inputs_of_one_name_are_refused(tmp_path: Path, store: Store, stop: NoPause) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a").write_text(folder)

    with pytest.raises(NotStaged, match="already there"):
        stage(
            "1.1",
            Spec(inputs=(f"{tmp_path}/one/a", f"{tmp_path}/two/a")),
            None,
            store,
            stop,
        )


def test_an_attempt_goes_on_from_the_inputs_that_came_for_an_earlier_one(
    tmp_path: Path, store: Store, stop: NoPause, fails: Callable[..., list[float | None]]
) -> None:
    """As after a kill of the agent: one input is whole, the other is not there yet."""
    for name in "ab":
        (tmp_path / name).write_text(name * 5)
    spec = Spec(inputs=(f"{tmp_path}/a", f"{tmp_path}/b"))
    half = arrivals.Arrivals(f"{store.folders.begin('7.1')}/arriving")
    half.bring(spec.inputs[0], None, stop)
    Folders(f"{tmp_path}/tasks").sweep(set())

    staged = stage("7.2", spec, None, store, stop)

    assert staged.bytes_in == 5
    assert set(staged.versions) == set(spec.inputs)
    assert sorted(os.listdir(f"{store.folders.staged('7.2')}/input")) == ["a", "b"]


def test_an_input_that_changed_since_an_earlier_attempt_is_brought_anew(
    tmp_path: Path, store: Store, stop: NoPause
) -> None:
    (tmp_path / "a").write_text("12345")
    spec = Spec(inputs=(f"{tmp_path}/a",))
    half = arrivals.Arrivals(f"{store.folders.begin('7.1')}/arriving")
    half.bring(spec.inputs[0], None, stop)
    (tmp_path / "a").write_text("another")

    assert stage("7.2", spec, None, store, stop).bytes_in == 7
    assert (tmp_path / "tasks/.staging-7.2/input/a").read_text() == "another"


def test_of_several_inputs_the_first_that_fails_ends_the_others(tmp_path: Path, store: Store, stop: NoPause) -> None:
    (tmp_path / "a").write_text("12345")

    with pytest.raises(NotStaged, match="nothing"):
        stage("1.1", Spec(inputs=(f"{tmp_path}/a", f"{tmp_path}/nothing")), None, store, stop)

    assert stop.pauses == []
