"""Submitting: parts are kept as they come, the closing one makes all visible, and a repeat changes nothing."""

from collections.abc import Iterator
from itertools import islice

from msgspec import Raw

from scitq import container, needs, wire
from scitq.broker import events
from scitq.broker.commands import Decision, Peer
from scitq.broker.lacks import never
from scitq.broker.state import State
from scitq.broker.tasks import expand
from scitq.errors import BadMessage, NotFound, UsageError
from scitq.fetch import uri as fetch_uri
from scitq.model import EVERY_BATCH, Array, Range, Spec, Word

ARRAY_LIMIT = 10_000_000
NAME_LIMIT = 200
SECONDS_LIMIT = 10**9
LACKS_TOLD = 3  # warnings of means that no worker of a batch has

# What a kernel, a clock or msgpack cannot hold would end the worker that is handed it, and then the next one.
_BOUNDS = {
    "retry": (0, 2**31 - 1),
    "log_limit": (0, 2**53),
    "uid": (0, 2**32 - 2),  # the last number of 32 bits means "nobody in particular" to chown
    "gid": (0, 2**32 - 2),
    "priority": (-(2**31), 2**31 - 1),
}


def submit(state: State, peer: Peer, message: wire.Submit, decision: Decision) -> None:
    """Keep a part, or close the submit; the answer names the ids."""
    if message.request in state.requests:
        first, count = state.requests[message.request]
        answer: wire.Answer = wire.Submitted(id=message.id, first=first, count=count)
        decision.send(peer.route, answer if message.last else wire.PartKept(id=message.id, part=message.part))
        return
    _check_part(state, message)
    known = state.parts.get(message.request)
    parts = set(known.parts) if known else set()
    content = bool(message.specs) or message.array is not None
    if content and message.part not in parts:
        specs = tuple(Raw(bytes(spec)) for spec in message.specs)
        decision.fact(events.PartKept(message.request, message.part, specs, message.array))
        parts.add(message.part)
    if not message.last:
        decision.send(peer.route, wire.PartKept(id=message.id, part=message.part))
        return
    if not parts:
        raise UsageError("a submit without any task: give at least one command")
    if max(parts) >= len(parts):
        absent = list(islice((part for part in range(max(parts)) if part not in parts), 5))
        raise UsageError(f"parts {absent} of this submit never came: send them, then close it again")
    count = _count(known.parts.values() if known else (), decision.events)
    first = state.tasks.next
    decision.fact(events.Submitted(message.request, first, count, peer.name))
    decision.send(
        peer.route,
        wire.Submitted(id=message.id, first=first, count=count, warnings=tuple(_warnings(state, message))),
    )


def _count(kept: object, added: list[events.Fact]) -> int:
    parts = [*kept, *added]  # type: ignore[misc]
    arrays = [part.array for part in parts if isinstance(part, events.PartKept) and part.array is not None]
    if arrays:
        if len(parts) > 1:
            raise UsageError("an array is a submit of its own: give it one part and nothing else")
        return int(arrays[0].count)
    return sum(len(part.specs) for part in parts if isinstance(part, events.PartKept))


def _check_part(state: State, message: wire.Submit) -> None:
    if not message.request or len(message.request) > NAME_LIMIT:
        raise UsageError(f"`request` must be a text of 1 to {NAME_LIMIT} characters, new for each submit")
    if message.part < 0:
        raise UsageError("`part` counts from 0")
    if len(message.specs) > wire.PART_LIMIT:
        raise UsageError(f"{len(message.specs)} tasks in one part; at most {wire.PART_LIMIT}")
    if message.specs and message.array is not None:
        raise UsageError("a part holds specifications or an array, not both")
    for place, packed in enumerate(message.specs):
        try:
            check_spec(state, wire.unpack_spec(packed))
        except (BadMessage, UsageError, NotFound) as problem:
            where = "" if len(message.specs) == 1 and message.part == 0 else f"task {place} of part {message.part}: "
            raise type(problem)(f"{where}{problem}") from None
    if message.array is not None:
        _check_array(state, message.array)


def _check_array(state: State, array: Array) -> None:
    if not 0 < array.count <= ARRAY_LIMIT:
        raise UsageError(f"an array has 1 to {ARRAY_LIMIT} tasks, not {array.count}")
    for name, column in array.columns.items():
        if isinstance(column, Range):
            continue
        if len(column) != array.count:
            raise UsageError(f"column {name} has {len(column)} values for {array.count} tasks")
        if not all(type(value) in (str, bytes, int) for value in column):
            raise UsageError(f"column {name} may hold texts and whole numbers")
        if any("\0" in value if isinstance(value, str) else b"\0" in value for value in _words(column)):
            raise UsageError(f"column {name} holds a NUL byte, which no program can be given")
        if array.template.container and any(type(value) is bytes for value in column):
            raise UsageError(f"column {name} holds bytes that are no text: docker takes words in UTF-8 only")
        if _names_program(array.template, name) and not all(_words(column)):
            raise UsageError(f"the program's name is empty in a row of column {name}")
        if any(type(value) is bytes for value in column) and any(f"{{{name}}}" in text for text in _texts(array)):
            raise UsageError(f"column {name} holds bytes that are no text: only words of command and env may be so")
    check_spec(state, expand(array, 0))


def _names_program(template: Spec, column: str) -> bool:
    return not template.container and template.command[:1] == (f"{{{column}}}",)


def _words(column: tuple[Word | int, ...]) -> Iterator[Word]:
    return (value for value in column if not isinstance(value, int))


def _texts(array: Array) -> tuple[str, ...]:
    """What of a template must be text in every row."""
    template = array.template
    return (template.name, template.output, *template.inputs, *template.resources)


def check_spec(state: State, spec: Spec) -> None:
    """UsageError or NotFound when a task of this specification could never run."""
    for problem in (*container.refusals(spec), *needs.refusals(spec)):
        raise UsageError(problem)
    if not spec.command and not spec.container:
        raise UsageError("the command is empty: give at least the name of a program")
    if any("\0" in word if isinstance(word, str) else b"\0" in word for word in spec.command):
        raise UsageError("a word of the command holds a NUL byte, which no program can be given")
    if not spec.container and not spec.command[0]:
        raise UsageError("the program's name is empty")
    check_batch_name(spec.batch)
    for name in ("run_timeout", "download_timeout"):
        seconds = getattr(spec, name)
        if seconds is not None and not 0 < seconds <= SECONDS_LIMIT:
            raise UsageError(f"{name} is {seconds}: give seconds above 0, at most {SECONDS_LIMIT}, or none")
    for name, (least, most) in _BOUNDS.items():
        number = getattr(spec, name)
        if number is not None and not least <= number <= most:
            raise UsageError(f"{name} is {number}: give {least} to {most}")
    for key in spec.env:
        if not key or "=" in key or "\0" in key:
            raise UsageError(f"{key!r} is no name for an environment variable")
    if any("\0" in value if isinstance(value, str) else b"\0" in value for value in spec.env.values()):
        raise UsageError("a value of the environment holds a NUL byte, which no program can be given")
    for uri in spec.inputs:
        _check_uri(uri, "input")
    for uri in spec.resources:
        _check_uri(uri, "resource")
    if spec.output:
        _check_uri(spec.output, "output")
    for parent in spec.requires:
        if parent not in state.tasks:
            raise NotFound(f"it requires task {parent}, which does not exist")


def _check_uri(text: str, role: fetch_uri.Role) -> None:
    try:
        problem = fetch_uri.check(fetch_uri.parse(text), role)
    except fetch_uri.UriError as unreadable:
        raise UsageError(str(unreadable)) from None
    if problem:
        raise UsageError(f"{role} {text}: {problem}")


def check_batch_name(name: str) -> None:
    """UsageError when the name cannot be one of a batch."""
    if not name or name == EVERY_BATCH or len(name) > NAME_LIMIT or not name.isprintable():
        raise UsageError(
            f"{name!r} is no name for a batch: 1 to {NAME_LIMIT} printable characters, not {EVERY_BATCH}"
        )


def _warnings(state: State, message: wire.Submit) -> list[str]:
    specs = [wire.unpack_spec(spec) for spec in message.specs]
    if message.array is not None:
        specs.append(message.array.template)
    wanted: dict[str, set[needs.Needs]] = {}
    for spec in specs:
        wanted.setdefault(spec.batch, set()).add(needs.needs_of(spec))
    lines = []
    for name in sorted(wanted):
        batch = state.batches.get(name)
        if batch is not None and batch.stopped:
            lines.append(f"batch {name} is stopped: `scitq manage batch go -n {name}` lets it go on")
        online = [worker for worker in state.serving(name) if worker.status == "online"]
        if online:
            lacks = filter(None, (never(online, each) for each in sorted(wanted[name])))
            lines += [
                f"no live worker of batch {name} has {lack}: what needs it waits for one that has"
                for lack in dict.fromkeys(islice(lacks, LACKS_TOLD))
            ]
        if not online:
            lines.append(
                f"no live worker serves batch {name}: start one with `scitq node --batch {name}`,"
                f" or move one there with `scitq manage worker update NAME -b {name}`"
            )
    return lines
