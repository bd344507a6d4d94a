from typing import get_args

import pytest

from scitq.node.lifecycle import HELD_AS, MAY_CROSS, MOVES, Do, Event, IllegalMove, Phase, step

STARTED: set[Phase] = {"running", "halting", "dropping", "confirming", "uploading", "reconfirming", "ended"}
FROM_BROKER: set[Event] = {
    *("recall", "halt", "drop", "suspend", "resume", "confirmed", "settled", "rejoined"),
}


def walk(*events: Event, phase: Phase = "ready") -> tuple[Phase, list[Do]]:
    """The phase after these events, and all that was to be done on the way."""
    done: list[Do] = []
    for event in events:
        phase, instructions = step(phase, event)
        done += instructions
    return phase, done


@pytest.mark.parametrize(
    ("events", "phase", "done"),
    [
        (("room", "started", "done"), "ended", ["start", "tell_started", "finish"]),
        (("room", "done"), "ended", ["start", "finish"]),
        (("room", "started", "done", "settled"), "gone", ["start", "tell_started", "finish", "discard"]),
        (
            ("room", "started", "output_waits", "confirmed", "uploaded"),
            "ended",
            ["start", "tell_started", "confirm", "tell_uploading", "upload", "finish"],
        ),
        (
            ("room", "output_waits", "confirmed", "uploaded_slowly", "confirmed"),
            "ended",
            ["start", "confirm", "tell_uploading", "upload", "confirm", "finish"],
        ),
        (("recall",), "gone", ["tell_returned", "discard"]),
        (("room", "recall"), "asked", ["start", "take_back"]),
        (("room", "recall", "returned"), "gone", ["start", "take_back", "tell_returned", "discard"]),
        (
            ("room", "recall", "too_late", "started"),
            "running",
            ["start", "take_back", "tell_kept", "tell_started"],
        ),
        (
            ("room", "recall", "started", "too_late"),
            "running",
            ["start", "take_back", "tell_kept", "tell_started"],
        ),
        (("room", "recall", "done", "too_late"), "ended", ["start", "take_back", "tell_kept", "finish"]),
        (("room", "started", "recall"), "running", ["start", "tell_started", "tell_kept"]),
        (("room", "returned", "room"), "handed", ["start", "start"]),
        (("room", "withhold", "returned"), "ready", ["start", "take_back"]),
        (("room", "withhold", "recall", "returned"), "gone", ["start", "take_back", "tell_returned", "discard"]),
        (("room", "withhold", "started"), "running", ["start", "take_back", "tell_started"]),
        (("halt",), "ended", ["finish"]),
        (("room", "halt", "returned"), "ended", ["start", "stop", "finish"]),
        (("room", "halt", "started", "done"), "ended", ["start", "stop", "finish"]),
        (("room", "halt", "halt", "output_waits"), "ended", ["start", "stop", "stop", "finish"]),
        (("room", "started", "drop", "done"), "gone", ["start", "tell_started", "kill", "discard"]),
        (("room", "drop", "returned"), "gone", ["start", "kill", "discard"]),
        (("room", "started", "suspend", "resume"), "running", ["start", "tell_started", "suspend", "resume"]),
    ],
)
def test_the_way_of_an_attempt(events: tuple[Event, ...], phase: Phase, done: list[Do]) -> None:
    assert walk(*events) == (phase, done)


@pytest.mark.parametrize(
    ("event", "phase", "done"),
    [
        ("staged", "ready", []),
        ("not_staged", "ended", ["finish"]),
        ("recall", "gone", ["abandon", "tell_returned"]),
        ("halt", "ended", ["abandon", "finish"]),
        ("drop", "gone", ["abandon"]),
        ("confirmed", "staging", []),
    ],
)
def test_the_ways_out_of_staging(event: Event, phase: Phase, done: list[Do]) -> None:
    assert walk(event, phase="staging") == (phase, done)


@pytest.mark.parametrize("phase", MOVES)
@pytest.mark.parametrize("event", FROM_BROKER)
def test_the_broker_may_say_anything_at_any_time(phase: Phase, event: Event) -> None:
    step(phase, event)


@pytest.mark.parametrize("phase", STARTED & MOVES.keys() - {"dropping"})
def test_what_has_started_is_never_given_back(phase: Phase) -> None:
    after, done = step(phase, "recall")

    assert (after, done) == (phase, ("tell_kept",))


@pytest.mark.parametrize("phase", STARTED & MOVES.keys())
def test_what_has_started_is_never_started_again(phase: Phase) -> None:
    reached = {phase}
    while True:
        more = {after for one in reached for after, _ in MOVES.get(one, {}).values()} - reached
        if not more:
            break
        reached |= more

    assert reached <= STARTED | {"gone"}
    assert not any("start" in done for one in reached for _, done in MOVES.get(one, {}).values())


@pytest.mark.parametrize(("phase", "event"), [("running", "staged"), ("ended", "done"), ("ready", "uploaded")])
def test_an_event_out_of_place_is_a_fault(phase: Phase, event: Event) -> None:
    with pytest.raises(IllegalMove, match=f"{phase} cannot be {event}"):
        step(phase, event)


def test_the_table_knows_every_word_and_no_other() -> None:
    phases, events, instructions = (set(get_args(words)) for words in (Phase, Event, Do))

    assert set(MOVES) == phases - {"gone"}
    assert {event for moves in MOVES.values() for event in moves} | MAY_CROSS == events
    assert {do for moves in MOVES.values() for _, done in moves.values() for do in done} == instructions
    assert {after for moves in MOVES.values() for after, _ in moves.values()} == phases - {"staging"}
    assert set(HELD_AS) == phases - {"dropping", "gone"}
