"""Whoever waits for an engine that is away is given back at once; what was made there is swept when one is back."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scitq.node import orders
from scitq.node.containers.answers import EngineAway
from scitq.node.containers.pool import ContainerPool
from scitq.node.containers.words import LABEL, Owner
from scitq.node.crew import Crew

OWNER = Owner("m", "w", "/s")
NAME = OWNER.name("1.1")


class FakeEngine:
    """Makes containers, and is away before it starts one."""

    leaves_groups = False

    def __init__(self) -> None:
        self.made: set[str] = set()

    def create(self, words: list[str]) -> str:
        self.made.add(NAME)
        return "id"

    def attach(self, name: str) -> Iterator[bytes]:
        raise EngineAway("gone")

    def names(self, labels: dict[str, str]) -> list[tuple[str, dict[str, str]]]:
        return [(name, {f"{LABEL}worker": "w", f"{LABEL}mesh": "m"}) for name in self.made]

    def remove(self, name: str) -> None:
        self.made.remove(name)


class FakePresence:
    """The engine, until it is lost."""

    def __init__(self, engine: FakeEngine | None) -> None:
        self.found = engine
        self.missed = threading.Event()

    @property
    def engine(self) -> FakeEngine:
        if self.found is None:
            raise EngineAway("no engine")
        return self.found

    def lost(self, engine: FakeEngine) -> None:
        self.found = None

    def wait(self, seconds: float) -> None:
        self.missed.set()
        time.sleep(0.01)


@pytest.fixture
def crew() -> Crew:
    return Crew()


def opened(tmp_path: Path, engine: FakeEngine | None, crew: Crew) -> tuple[ContainerPool, Any]:
    presence: Any = FakePresence(engine)
    (tmp_path / "outbox").mkdir(exist_ok=True)
    return ContainerPool(tmp_path, OWNER, presence, crew), presence


def answer(pool: ContainerPool) -> orders.Event:
    deadline = time.monotonic() + 10
    while not (events := pool.events()):
        assert time.monotonic() < deadline
    (event,) = events
    return event


def order() -> orders.ContainerOrder:
    return orders.ContainerOrder(name="1.1", image="i", options="", command=[], env={}, folder="/s")


def until(true: Any) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline


def test_what_was_made_is_given_back_without_waiting_and_swept_when_an_engine_is_back(
    tmp_path: Path, crew: Crew
) -> None:
    engine = FakeEngine()
    pool, presence = opened(tmp_path, engine, crew)
    pool.start(order())
    assert presence.missed.wait(10)
    assert engine.made

    pool.take_back("1.1")
    assert answer(pool) == orders.Returned("1.1")
    assert not pool.knows("1.1")
    assert engine.made

    presence.found = back = FakeEngine()
    back.made = engine.made
    pool.sweep()
    until(lambda: not back.made)


def test_a_later_order_of_its_name_is_nobody_elses(tmp_path: Path, crew: Crew) -> None:
    """Whoever minded the first does nothing under the name that the second has."""
    engine = FakeEngine()
    pool, presence = opened(tmp_path, engine, crew)
    pool.start(order())
    assert presence.missed.wait(10)
    pool.take_back("1.1")
    assert answer(pool) == orders.Returned("1.1")
    presence.missed.clear()

    pool.start(order())
    assert presence.missed.wait(10)
    presence.found = engine

    until(lambda: [one.name for one in threading.enumerate()].count("1.1") == 1)
    assert engine.made
    assert (tmp_path / "containers/1.1").exists()
    pool.close()


def test_what_an_earlier_agent_ordered_is_given_back_too(tmp_path: Path, crew: Crew) -> None:
    first, presence = opened(tmp_path, None, crew)
    first.start(order())
    assert presence.missed.wait(10)
    first.close()
    second, presence = opened(tmp_path, None, crew)
    (held,) = second.adopt()
    assert held.state == "queued"

    second.take_back("1.1")

    assert answer(second) == orders.Returned("1.1")
