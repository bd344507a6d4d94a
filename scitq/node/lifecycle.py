"""What happens next to one attempt on this machine: a phase and an event in, a phase and instructions out.

Pure. Everything that moves an attempt stands in MOVES and nowhere else. What the broker says may cross what
happened here meanwhile, and so may the answers of keepers: such an event, and only such, changes nothing
where MOVES does not name it. Any other event out of place is a fault of the agent and raises.

    staging -> ready -> handed -> running -> confirming -> uploading -> reconfirming -> ended -> gone

ready        all it needs is here; it waits for room
handed       a keeper has the order; whether it started is not known
asked        handed, and the broker wants it back: the keeper is being asked
withheld     handed, and held back here, because the broker has been away for long
halting      handed or running, and to be ended as cancelled
dropping     handed or running, and to be ended without a word to the broker
confirming   the command is over; may its output be uploaded?
reconfirming uploaded slowly; is it still current?
ended        its end is in the outbox until the broker has it
"""

from typing import Literal

from scitq.errors import ScitqError

Phase = Literal[
    "staging",
    "ready",
    "handed",
    "asked",
    "withheld",
    "running",
    "halting",
    "dropping",
    "confirming",
    "uploading",
    "reconfirming",
    "ended",
    "gone",
]

Event = Literal[
    # of staging and uploading
    "staged",
    "not_staged",
    "uploaded",  # or failed for good
    "uploaded_slowly",
    # of the agent
    "room",
    "withhold",
    # of the keepers
    "started",
    "too_late",  # to take it back
    "returned",
    "done",  # over, or never to start: nothing to upload
    "output_waits",  # over, and its output is to be uploaded
    # of the broker
    "recall",
    "halt",
    "drop",
    "suspend",
    "resume",
    "confirmed",
    "settled",  # it has the end
    "rejoined",
]

Do = Literal[
    "start",  # order a keeper to start it
    "take_back",  # ask the keeper for the order
    "stop",  # end it as the broker asked, gently or not
    "kill",
    "suspend",
    "resume",
    "confirm",  # ask the broker
    "upload",
    "abandon",  # end its staging or uploading; the threads clean up
    "tell_started",
    "tell_uploading",
    "tell_returned",
    "tell_kept",
    "finish",  # put its end into the outbox
    "resend",  # its end and its output have to be told again
    "discard",  # forget it: record, output, folder
]

# From the broker, or an answer of a keeper to what is no longer asked.
MAY_CROSS: frozenset[Event] = frozenset((
    "recall", "halt", "drop", "suspend", "resume", "confirmed", "settled", "rejoined",
    "started", "too_late", "withhold",
))  # fmt: skip

MOVES: dict[Phase, dict[Event, tuple[Phase, tuple[Do, ...]]]] = {
    "staging": {
        "staged": ("ready", ()),
        "not_staged": ("ended", ("finish",)),
        "recall": ("gone", ("abandon", "tell_returned")),
        "halt": ("ended", ("abandon", "finish")),
        "drop": ("gone", ("abandon",)),
    },
    "ready": {
        "room": ("handed", ("start",)),
        "done": ("ended", ("finish",)),
        "recall": ("gone", ("tell_returned", "discard")),
        "halt": ("ended", ("finish",)),
        "drop": ("gone", ("discard",)),
    },
    "handed": {
        "started": ("running", ("tell_started",)),
        "returned": ("ready", ()),  # its keeper died before it
        "done": ("ended", ("finish",)),
        "output_waits": ("confirming", ("confirm",)),
        "recall": ("asked", ("take_back",)),
        "withhold": ("withheld", ("take_back",)),
        "halt": ("halting", ("stop",)),
        "drop": ("dropping", ("kill",)),
    },
    "asked": {
        "returned": ("gone", ("tell_returned", "discard")),
        "too_late": ("running", ("tell_kept", "tell_started")),
        "started": ("running", ("tell_kept", "tell_started")),
        "done": ("ended", ("tell_kept", "finish")),
        "output_waits": ("confirming", ("tell_kept", "confirm")),
        "halt": ("halting", ("tell_kept", "stop")),
        "drop": ("dropping", ("kill",)),
    },
    "withheld": {
        "returned": ("ready", ()),
        "too_late": ("running", ("tell_started",)),
        "started": ("running", ("tell_started",)),
        "done": ("ended", ("finish",)),
        "output_waits": ("confirming", ("confirm",)),
        "recall": ("asked", ()),
        "halt": ("halting", ("stop",)),
        "drop": ("dropping", ("kill",)),
    },
    "running": {
        "done": ("ended", ("finish",)),
        "output_waits": ("confirming", ("confirm",)),
        "recall": ("running", ("tell_kept",)),
        "halt": ("halting", ("stop",)),
        "drop": ("dropping", ("kill",)),
        "suspend": ("running", ("suspend",)),
        "resume": ("running", ("resume",)),
    },
    "halting": {
        "returned": ("ended", ("finish",)),
        "done": ("ended", ("finish",)),
        "output_waits": ("ended", ("finish",)),
        "recall": ("halting", ("tell_kept",)),
        "halt": ("halting", ("stop",)),  # less gently than before
        "drop": ("dropping", ("kill",)),
    },
    "dropping": {
        "returned": ("gone", ("discard",)),
        "done": ("gone", ("discard",)),
        "output_waits": ("gone", ("discard",)),
    },
    "confirming": {
        "confirmed": ("uploading", ("tell_uploading", "upload")),
        "rejoined": ("confirming", ("confirm",)),
        "recall": ("confirming", ("tell_kept",)),
        "halt": ("ended", ("finish",)),
        "drop": ("gone", ("discard",)),
    },
    "uploading": {
        "uploaded": ("ended", ("finish",)),
        "uploaded_slowly": ("reconfirming", ("confirm",)),
        "recall": ("uploading", ("tell_kept",)),
        "halt": ("ended", ("abandon", "finish")),
        "drop": ("gone", ("abandon", "discard")),
    },
    "reconfirming": {
        "confirmed": ("ended", ("finish",)),
        "rejoined": ("reconfirming", ("confirm",)),
        "recall": ("reconfirming", ("tell_kept",)),
        "halt": ("ended", ("finish",)),
        "drop": ("gone", ("discard",)),
    },
    "ended": {
        "rejoined": ("ended", ("resend",)),
        "recall": ("ended", ("tell_kept",)),
        "settled": ("gone", ("discard",)),
        "drop": ("gone", ("discard",)),
    },
}

HELD_AS: dict[Phase, Literal["staged", "running", "uploading", "ended"]] = {
    "staging": "staged",
    "ready": "staged",
    "handed": "running",  # perhaps: it cannot be given back without asking its keeper
    "asked": "running",
    "withheld": "running",
    "running": "running",
    "halting": "running",
    "confirming": "uploading",
    "uploading": "uploading",
    "reconfirming": "uploading",
    "ended": "ended",
}
"""How a phase is called in `hello`; what is being dropped is not listed."""


class IllegalMove(ScitqError):
    """The agent fed an event to an attempt that cannot have it; the phase did not change."""


def step(phase: Phase, event: Event) -> tuple[Phase, tuple[Do, ...]]:
    """Where an attempt goes on this event, and what is to be done, in order; IllegalMove if out of place."""
    move = MOVES[phase].get(event)
    if move is not None:
        return move
    if event in MAY_CROSS:
        return phase, ()
    raise IllegalMove(f"an attempt that is {phase} cannot be {event}")
