"""How the end of a task, and of an order, is told, and the exit code that each stands for."""

import sys
from typing import TYPE_CHECKING

from scitq.errors import ScitqError
from scitq.shell.render import one_line

if TYPE_CHECKING:
    from scitq.client import Client
    from scitq.wire import Change, Done, Ended

_FAILURE = ScitqError.exit_code


def told(end: "Change | Ended") -> str:
    """The end of a task in one line."""
    why = end.reason or (f"exit code {end.exit_code}" if end.exit_code else end.class_)
    return one_line(f"task {end.task} {end.status}" + (f": {why}" if why and end.status != "succeeded" else ""))


def exit_code(client: "Client", end: "Change | Ended") -> int:
    """What the task's command returned, 128 + the signal that ended it, or 1 when it has no code of its own."""
    if end.status == "succeeded":
        return 0
    if end.exit_code:
        return end.exit_code
    last = [attempt for attempt in client.attempts([end.task]) if attempt.attempt == end.attempt]
    return 128 + last[0].signal if last and last[0].signal else _FAILURE


def tell_done(done: "Done", verb: str) -> int:
    """Say what an order did and what it left; 1 when it left something, or a worker has not answered."""
    print(f"{tasks(done.count)} {verb}", flush=True)
    return tell_left(done)


def tell_left(done: "Done") -> int:
    """Say what an order left as it was; 1 when there is such a thing."""
    for skipped in done.skipped:
        print(one_line(f"scitq: task {skipped.task} {skipped.reason}"), file=sys.stderr)
    for worker in done.missing:
        print(one_line(f"scitq: worker {worker} has not answered"), file=sys.stderr)
    return _FAILURE if done.skipped or done.missing else 0


def tasks(count: int) -> str:
    """A number of tasks in words."""
    return f"{count} task{'' if count == 1 else 's'}"
