"""One pull for many, with the login of the registry; final refusals are final."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from scitq.node.containers import images
from scitq.node.containers.answers import EngineRefused, NoSuchImage
from scitq.node.containers.engine import Login
from scitq.node.containers.images import Images, registry_of
from scitq.node.containers.pulling import Layers
from scitq.node.crew import Crew
from scitq.node.progress import Progress, of_image


class FakeEngine:
    """Has an image once it was pulled; `problems` come first."""

    def __init__(self, *problems: str) -> None:
        self.problems = list(problems)
        self.pulls: list[tuple[str, Login | None]] = []
        self.here = False
        self.pulling = threading.Event()
        self.go = threading.Event()

    @property
    def engine(self) -> "FakeEngine":
        return self

    def user_of(self, image: str) -> str:
        if not self.here:
            raise NoSuchImage(image)
        return "someone"

    def pull(self, image: str, login: Login | None, progress: Callable[[Layers], None]) -> int:
        self.pulls.append((image, login))
        layers = Layers()
        layers.take({"id": "a", "status": "Downloading", "progressDetail": {"current": 1, "total": 2}})
        progress(layers)
        self.pulling.set()
        assert self.go.wait(10)
        if self.problems:
            raise EngineRefused(self.problems.pop(0))
        self.here = True
        return 2


def done(crew: Crew, results: list[object], count: int) -> list[object]:
    deadline = time.monotonic() + 10
    while len(results) < count:
        assert time.monotonic() < deadline
        crew.finish()
    return results


def brought(engine: FakeEngine, count: int, image: str = "r.org/a") -> list[object]:
    crew = Crew()
    presence: Any = engine
    progress = Progress()
    all_images = Images(presence, crew, progress)
    all_images.logins = {"r.org": Login("u", "p")}
    results: list[object] = []
    for _ in range(count):
        all_images.bring(image, results.append)
    deadline = time.monotonic() + 10
    while not engine.pulling.is_set():
        assert time.monotonic() < deadline
        crew.finish()
    assert progress.lines(of_image(image)) == (f"image {image}: 0 of 1 layers, 1 of 2 bytes",)
    engine.go.set()
    told = done(crew, results, count)
    assert progress.lines(of_image(image)) == ()
    return told


def test_one_pull_serves_many() -> None:
    engine = FakeEngine()
    assert brought(engine, 20) == ["someone"] * 20
    assert engine.pulls == [("r.org/a", Login("u", "p"))]


def test_what_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "PAUSES", (0.0, 0.0))
    engine = FakeEngine("network is unreachable", "network is unreachable")
    assert brought(engine, 1) == ["someone"]
    assert len(engine.pulls) == 3


def test_what_cannot_pass_is_not() -> None:
    engine = FakeEngine("pull access denied for a")
    (problem,) = brought(engine, 1, "a")
    assert isinstance(problem, EngineRefused)
    assert "pull access denied" in str(problem)
    assert "scitq manage registry login" in str(problem)
    assert engine.pulls == [("a", None)]


def test_a_number_in_an_address_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "PAUSES", (0.0, 0.0))
    engine = FakeEngine("dial tcp 10.0.0.4:40343: i/o timeout", 'Head "https://r.org:404/v2/a": EOF')
    assert brought(engine, 1) == ["someone"]


def test_a_status_of_the_registry_is_an_answer() -> None:
    engine = FakeEngine("unexpected status from HEAD request to https://r.org/v2/a: 403 Forbidden")
    (problem,) = brought(engine, 1)
    assert isinstance(problem, EngineRefused)
    assert len(engine.pulls) == 1


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("ubuntu", "docker.io"),
        ("user/image:1", "docker.io"),
        ("r.org/a/b:1", "r.org"),
        ("r.org:5000/a@sha256:0", "r.org:5000"),
        ("localhost/a", "localhost"),
        ("docker.io/library/a", "docker.io"),
    ],
)
def test_the_registry_stands_in_the_name(image: str, registry: str) -> None:
    assert registry_of(image) == registry
