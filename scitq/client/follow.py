"""What a broker pushes: the ends of tasks, their changes, their output as it is written."""

from collections.abc import Callable, Generator, Sequence

from scitq import wire
from scitq.client.connection import Connection, expect
from scitq.errors import BadMessage
from scitq.model import ENDED

Again = Callable[[int], wire.Message]

OVER = ENDED | {"deleted"}


def followed_changes(link: Connection, again: Again, deadline: float) -> Generator[wire.Change]:
    """What the follow that `again` asks for is told, until all it follows has ended.

    `follow_end` repeats only ends that were told: nothing of it is needed.
    """
    call = link.subscribe(again)
    try:
        while not isinstance(message := link.receive(call, deadline), wire.FollowEnd):
            yield from expect(message, wire.Changed).changes
    finally:
        link.unsubscribe(call)


def follow_to_ends(link: Connection, tasks: Sequence[int], known: dict[int, wire.Ended], deadline: float) -> None:
    """Wait until these tasks have ended, and note in `known` how."""

    def again(number: int) -> wire.Message:
        left = tuple(task for task in tasks if task not in known)
        return wire.Follow(id=number, tasks=left or tuple(tasks[-1:]), ends_only=True)

    while missing := [task for task in tasks if task not in known]:
        for told in followed_changes(link, again, deadline):
            if told.status in OVER:
                known[told.task] = ended(told)
        if all(task not in known for task in missing):
            raise BadMessage(f"the broker does not tell how task {missing[0]} ended")


def ended(told: wire.Change) -> wire.Ended:
    """The end that a follower was told."""
    return wire.Ended(told.task, told.attempt, told.status, told.class_, told.exit_code, told.reason)


def followed_output(link: Connection, task: int, attempt: int) -> Generator[wire.OutputPart]:
    """Both streams of an attempt as they are written, until it has ended.

    The broker sends FOLLOW_CREDIT bytes ahead; what is consumed here is granted anew.
    """
    offsets: dict[wire.StreamName, int] = {"stdout": 0, "stderr": 0}

    def again(number: int) -> wire.Message:
        return wire.FollowOutput(
            id=number, task=task, attempt=attempt, stdout=offsets["stdout"], stderr=offsets["stderr"]
        )

    call = link.subscribe(again)
    try:
        while True:
            message = link.receive(call)
            if isinstance(message, wire.FollowEnd):
                return
            part = expect(message, wire.OutputPart)
            attempt = part.attempt  # on a later connection the latest may be another one
            offsets[part.stream] = part.next
            yield part
            call.owed += len(part.data)
            if call.owed >= wire.CHUNK_LIMIT:
                link.tell(wire.Credit(follow=call.id, bytes=call.owed))
                call.owed = 0
    finally:
        link.unsubscribe(call)


def kept_output(link: Connection, task: int, attempt: int, stream: wire.StreamName) -> Generator[wire.OutputPart]:
    """What the broker has of one stream; it stops at the end of what is there now."""
    offset = 0
    while True:
        asked = wire.Output(id=0, task=task, attempt=attempt, stream=stream, offset=offset)
        part = link.ask(asked, wire.OutputPart)
        yield part
        if part.end or part.next <= offset:
            return
        offset, attempt = part.next, part.attempt
