"""Hundreds of seeds in virtual time; and the proof that a broken rule is found by them."""

import pytest

from scitq.broker import schedule, waits
from scitq.broker.commands import Send
from scitq.broker.rules import reports
from scitq.broker.state import State
from scitq.broker.tasks import Live
from scitq.wire import Ref
from tests.simulation.world import Broken, World

SEEDS = 200
GROUPS = 10


@pytest.mark.parametrize("group", range(GROUPS))
def test_under_every_seed_all_holds(group: int) -> None:
    for seed in range(group, SEEDS, GROUPS):
        try:
            World(seed).play()
        except Exception as problem:
            raise AssertionError(f"seed {seed}") from problem


def _found(seeds: int = 60) -> bool:
    for seed in range(seeds):
        try:
            World(seed).play()
        except (Broken, AssertionError):
            return True
    return False


def test_results_of_earlier_attempts_being_believed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def unfenced(live: Live, ref: Ref, worker: int) -> bool:
        return live.held is not None

    monkeypatch.setattr(reports, "is_current", unfenced)
    assert _found()


def test_placing_tasks_of_a_stopped_batch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = schedule.place

    def heedless(state: State) -> dict[int, list[int]]:
        stopped = {name: batch.stopped for name, batch in state.batches.items()}
        for batch in state.batches.values():
            batch.stopped = ""
        placed = real(state)
        for name, how in stopped.items():
            state.batches[name].stopped = how
        return placed

    monkeypatch.setattr(schedule, "place", heedless)
    assert _found()


def test_saying_what_is_not_yet_durable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(world: World, sends: list[Send]) -> None:
        for send in sends:
            world._deliver(send)
        mark = len(world.broker.entries)
        world.after(0.2, lambda: world._synced(mark))

    monkeypatch.setattr(World, "_keep", hasty)
    assert _found()


def test_answering_a_stop_before_the_workers_did_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "_returning", lambda state, task: False)
    assert _found()


@pytest.mark.proof
def test_under_many_more_seeds_all_holds() -> None:
    for seed in range(SEEDS, 20 * SEEDS):
        try:
            World(seed).play(600)
        except Exception as problem:
            raise AssertionError(f"seed {seed}") from problem
