"""Hundreds of seeds in virtual time; and the proof that a broken rule is found by them."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from scitq.broker import events, packing, schedule, waits
from scitq.broker.apply import CARRY_OUT
from scitq.broker.commands import Send
from scitq.broker.intervals import members
from scitq.broker.moves import MOVES
from scitq.broker.offers import Offer
from scitq.broker.rules import reports
from scitq.broker.state import State
from scitq.broker.tasks import Live
from scitq.model import MIB, Spec
from scitq.wire import Ref
from tests.simulation.world import World

SEEDS = 1_000
PROOF_SEEDS = 10_000
GROUPS = 20
STEPS = 200  # at least so many happen under each seed

NEVER_SEEN = {
    # Asked back first, then queued, then cancelled: facts of their own, in one entry.
    *(("assigned", "cancelled"), ("staging", "cancelled"), ("returning", "cancelled")),
    # Kept first, which is the phase it had; what it entered since is the next fact.
    *(("returning", "running"), ("returning", "uploading")),
    # The client of this world relaunches only what did not succeed.
    *(("succeeded", "pending"), ("succeeded", "waiting"), ("failed", "waiting")),
}

moves: Counter[tuple[str, str]] = Counter()
crashed: Counter[bool] = Counter()


@pytest.fixture(autouse=True)
def _count_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, carry_out in list(CARRY_OUT.items()):
        monkeypatch.setitem(CARRY_OUT, kind, partial(_counting, carry_out))


def _counting(carry_out: Callable[[State, Any, float], None], state: State, event: Any, at: float) -> None:
    tasks = [event.task] if hasattr(event, "task") else getattr(event, "tasks", ())
    if isinstance(event, events.Edited | events.Cancelled | events.Relaunched | events.Deleted):
        tasks = list(members(event.tasks))
    before = {task: state.status_of(task) for task in tasks if task in state.tasks}
    carry_out(state, event, at)
    for task, old in before.items():
        if task in state.tasks and (new := state.status_of(task)) != old:
            moves[old, new] += 1


def play(seed: int, *seconds: float) -> None:
    """All that happens under a seed; its story when something is broken."""
    world = World(seed)
    try:
        world.play(*seconds)
    except Exception as problem:
        again = f"`python -m tests.simulation {seed}` plays it alone"
        raise AssertionError(f"seed {seed} ({again}): {problem}\n{world.story(60)}") from problem
    assert world.steps >= STEPS
    crashed[world.crashes > 0] += 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("group", range(GROUPS))
def test_under_every_seed_all_holds(group: int) -> None:
    for seed in range(group, SEEDS, GROUPS):
        play(seed)


def test_all_legal_moves_were_made(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the seeds above (so it runs after them): the table of moves, how often each was made."""
    if sum(crashed.values()) < SEEDS:
        pytest.skip("it counts the moves of all seeds: run the whole module")
    legal = {(old, new) for old, news in MOVES.items() for new in news}
    with capsys.disabled():
        print(f"\n{sum(crashed.values())} seeds, {crashed[True]} with crashes of the broker; moves made:")
        for old, new in sorted(legal):
            print(f"  {old:>9} -> {new:<9} {moves[old, new]:>7}")
    assert crashed[True] * 2 >= SEEDS
    assert legal - set(moves) <= NEVER_SEEN


def _found(seeds: int = 60) -> bool:
    for seed in range(seeds):
        try:
            World(seed).play()
        except Exception:  # noqa: BLE001 - whatever it breaks first
            return True
    return False


def test_results_of_earlier_attempts_being_believed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def unfenced(live: Live, ref: Ref, worker: int) -> bool:
        return live.held is not None

    monkeypatch.setattr(reports, "is_current", unfenced)
    assert _found()


def test_placing_tasks_of_a_stopped_batch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = schedule.place

    def heedless(state: State, slow: frozenset[int]) -> dict[int, list[int]]:
        stopped = {name: batch.stopped for name, batch in state.batches.items()}
        for batch in state.batches.values():
            batch.stopped = ""
        placed = real(state, slow)
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


def test_handing_a_task_over_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = schedule.place

    def generous(state: State, slow: frozenset[int]) -> dict[int, list[int]]:
        placed = real(state, slow)
        roomy = [number for number in state.roomy if number not in placed]
        for number, tasks in list(placed.items()):
            if roomy and number != roomy[0]:
                placed[roomy[0]] = tasks[:1]
        return placed

    monkeypatch.setattr(schedule, "place", generous)
    assert _found()


def test_handing_over_what_is_not_free_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Offer, "fits", lambda offer, needs: offer.worker.could(needs))
    assert _found()


LARGE = Spec(command=("true",), cpu=6, mem=48 * MIB, gpu=2)
SMALL = [Spec(command=("true",)), Spec(command=("true",), mem=10 * MIB), Spec(command=("true",), gpu=0.5, cpu=1)]


@pytest.mark.parametrize("priority", [0, 1])
def test_a_large_task_has_its_turn_however_many_small_ones_come(priority: int) -> None:
    large = replace(LARGE, priority=priority)
    for seed in range(10):
        assert World(seed).flood(large, SMALL), f"seed {seed}"


def test_keeping_no_worker_for_a_large_task_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MOST_KEPT", 0)
    assert not all(World(seed).flood(replace(LARGE, priority=1), SMALL) for seed in range(10))


@pytest.mark.proof
def test_under_many_more_seeds_all_holds() -> None:
    for seed in range(SEEDS, PROOF_SEEDS):
        play(seed)


@pytest.mark.proof
def test_long_lives_hold_too() -> None:
    for seed in range(200):
        play(seed, 1_200.0)
