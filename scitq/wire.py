"""Every message that crosses a socket, and nothing else; `docs/protocol.md` says the same for others.

A message is one frame: a msgpack map whose `type` names the message, at most MESSAGE_LIMIT bytes. A request
carries `id`; its answers and what it subscribed to carry the same `id`. Whoever changes a message here raises
PROTOCOL.
"""

from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from scitq.errors import BadMessage, TooLarge
from scitq.model import (
    MIB,
    Access,
    Array,
    Attempt,
    Batch,
    Changes,
    Count,
    Gpu,
    Moment,
    Outcome,
    Registry,
    Resource,
    Spec,
    Task,
    Worker,
)

PROTOCOL = 1
MESSAGE_LIMIT = 8 * MIB
PART_LIMIT = 5_000  # specifications in one part of a submit
PAGE_LIMIT = 1_000  # rows of one page of a list
CHUNK_LIMIT = 256 * 1024  # bytes of output in one chunk
FOLLOW_CREDIT = 1 * MIB  # bytes of output that a follower may be sent before it grants more

Role = Literal["admin", "user", "worker", "deployer"]
StreamName = Literal["stdout", "stderr"]


class Message(Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """What every message has: its type."""


# ---------------------------------------------------------------------------- parts of messages


class Ref(Struct, frozen=True, array_like=True):
    """One attempt: what a result must name to be believed."""

    task: Count
    attempt: Count
    epoch: Count


class Select(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which tasks: all conditions that are given must hold; with none, no task."""

    ids: tuple[int, ...] | None = None
    batch: str | None = None
    status: tuple[str, ...] | None = None
    name: str | None = None


class Held(Struct, frozen=True, kw_only=True):
    """An attempt that a worker says it holds when it joins."""

    ref: Ref
    phase: Literal["staged", "running", "uploading", "ended"]


class Enrolment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a worker says of itself in `hello`."""

    worker: str  # the id kept in its scratch folder
    name: str
    mesh: str = ""  # the mesh it belonged to before, "" when new
    again: bool = False  # the same agent connects anew: what was changed live since its first hello stays
    batch: str
    concurrency: int
    prefetch: int
    hostname: str
    cpus: int
    memory: int
    boot: str
    engine: str = ""  # its container engine and version, "" for none
    gpus: tuple[Gpu, ...] = ()
    disk: Count = 0  # bytes that tasks can have of its scratch folder's disk, what can be removed among them
    held: tuple[Held, ...] = ()


class Verdict(Struct, frozen=True, array_like=True):
    """What a joining worker does with an attempt: go on, end it, or drop what it keeps of it."""

    ref: Ref
    do: Literal["keep", "stop", "forget"]


class Assignment(Struct, frozen=True, array_like=True):
    """An attempt handed over to a worker."""

    ref: Ref
    spec: Raw


class Started(Struct, frozen=True, array_like=True):
    """An attempt entered a phase. `at` is the worker's wall clock, for people."""

    ref: Ref
    phase: Literal["staging", "running", "uploading"]
    at: Moment


class End(Struct, frozen=True, array_like=True):
    """An attempt ended; small output travels with it when no chunk of that stream was sent before."""

    ref: Ref
    outcome: Outcome
    started_at: Moment | None
    ended_at: Moment
    stdout: bytes = b""
    stderr: bytes = b""


class Chunk(Struct, frozen=True, array_like=True):
    """Bytes of a stream from `offset`; `live`: for followers only; `skip` allows a gap before (a cut)."""

    ref: Ref
    stream: StreamName
    offset: Count
    data: bytes
    live: bool = False
    skip: bool = False


class LogMark(Struct, frozen=True, array_like=True):
    """A place in a stream of an attempt."""

    ref: Ref
    stream: StreamName
    offset: Count


class Login(Struct, frozen=True, array_like=True):
    """Who may pull from a registry."""

    registry: str
    user: str
    password: str


class Change(Struct, frozen=True, array_like=True):
    """What a follower of tasks is told."""

    task: int
    attempt: int
    status: str
    class_: str = ""
    exit_code: int | None = None
    reason: str = ""
    worker: str = ""


class Skipped(Struct, frozen=True, array_like=True):
    """A selected task that an order did not touch, and why."""

    task: int
    reason: str


class Ended(Struct, frozen=True, array_like=True):
    """The end of one task, as `wait` needs it."""

    task: int
    attempt: int
    status: str
    class_: str
    exit_code: int | None
    reason: str


# ---------------------------------------------------------------------------- requests of any peer


class Hello(Message, frozen=True, tag="hello", omit_defaults=True):
    """First message of a connection."""

    id: int
    protocol: int
    version: str = ""  # of the program, for people
    enrol: Enrolment | None = None


class Submit(Message, frozen=True, tag="submit", omit_defaults=True):
    """A part of a submit: specifications, or one array. The `last` part makes all parts visible."""

    id: int
    request: str
    part: int = 0
    last: bool = True
    specs: tuple[Raw, ...] = ()
    array: Array | None = None


class Tasks(Message, frozen=True, tag="tasks", omit_defaults=True):
    id: int
    select: Select = Select()
    after: int = 0
    limit: int = PAGE_LIMIT


class Attempts(Message, frozen=True, tag="attempts", omit_defaults=True):
    id: int
    select: Select = Select()
    after: int = 0
    limit: int = PAGE_LIMIT


class Output(Message, frozen=True, tag="output", omit_defaults=True):
    """Bytes of one stream from `offset`; `attempt` 0 is the latest."""

    id: int
    task: int
    stream: StreamName
    attempt: int = 0
    offset: int = 0
    limit: int = CHUNK_LIMIT


class FollowOutput(Message, frozen=True, tag="follow_output", omit_defaults=True):
    """Push both streams of a task from these offsets until its attempt has ended."""

    id: int
    task: int
    attempt: int = 0
    stdout: int = 0
    stderr: int = 0


class Follow(Message, frozen=True, tag="follow", omit_defaults=True):
    """Push the changes of these tasks, after their present state; `ends` alone when `ends_only`."""

    id: int
    tasks: tuple[int, ...] = ()
    batch: str | None = None
    ends_only: bool = False


class Credit(Message, frozen=True, tag="credit"):
    """The follower of `follow` has read so many bytes more."""

    follow: int
    bytes: int


class Unfollow(Message, frozen=True, tag="unfollow"):
    id: int
    follow: int


class Cancel(Message, frozen=True, tag="cancel"):
    id: int
    select: Select


class Relaunch(Message, frozen=True, tag="relaunch", omit_defaults=True):
    """Queue ended tasks again; the same `request` a second time changes nothing and is answered alike."""

    id: int
    select: Select
    changes: Changes = Changes()
    request: str = ""


class Update(Message, frozen=True, tag="update"):
    id: int
    select: Select
    changes: Changes


class Delete(Message, frozen=True, tag="delete", omit_defaults=True):
    id: int
    select: Select
    force: bool = False


class Explain(Message, frozen=True, tag="explain", omit_defaults=True):
    id: int
    task: int | None = None
    batch: str | None = None


class Batches(Message, frozen=True, tag="batches", omit_defaults=True):
    id: int
    after: str = ""
    limit: int = PAGE_LIMIT


class BatchStop(Message, frozen=True, tag="batch_stop", omit_defaults=True):
    """Answered when every worker of the batch has answered; see `Done.missing`."""

    id: int
    batch: str
    how: Literal["stop", "suspend", "terminate", "kill"] = "stop"


class BatchGo(Message, frozen=True, tag="batch_go"):
    id: int
    batch: str


class BatchDelete(Message, frozen=True, tag="batch_delete", omit_defaults=True):
    id: int
    batch: str
    force: bool = False


class Workers(Message, frozen=True, tag="workers", omit_defaults=True):
    id: int
    after: str = ""
    limit: int = PAGE_LIMIT


class WorkerUpdate(Message, frozen=True, tag="worker_update", omit_defaults=True):
    id: int
    worker: str  # name or id
    concurrency: int | None = None
    prefetch: int | None = None
    batch: str | None = None
    paused: bool | None = None


class WorkerDelete(Message, frozen=True, tag="worker_delete", omit_defaults=True):
    id: int
    worker: str
    force: bool = False


class WorkerResources(Message, frozen=True, tag="worker_resources"):
    """Relayed to the worker, with an `id` of the broker's; so is its answer, back."""

    id: int
    worker: str


class WorkerClean(Message, frozen=True, tag="worker_clean"):
    """Remove what failed tasks left on the worker; relayed like `worker_resources`."""

    id: int
    worker: str


class WorkerProgress(Message, frozen=True, tag="worker_progress"):
    """How far is what the worker brings or stores for a task? Relayed like `worker_resources`."""

    id: int
    worker: str
    task: Count


class AccessCreate(Message, frozen=True, tag="access_create"):
    """Accept the public `key` (40 characters of Z85)."""

    id: int
    name: str
    role: Role
    key: str


class AccessList(Message, frozen=True, tag="access_list"):
    id: int


class AccessRevoke(Message, frozen=True, tag="access_revoke"):
    id: int
    name: str


class RegistryLogin(Message, frozen=True, tag="registry_login"):
    """Have the workers pull from this registry as this user."""

    id: int
    registry: str  # host, or host:port; docker.io for images that name none
    user: str
    password: str


class RegistryList(Message, frozen=True, tag="registry_list"):
    id: int


class RegistryLogout(Message, frozen=True, tag="registry_logout"):
    id: int
    registry: str


class Status(Message, frozen=True, tag="status"):
    id: int


# ---------------------------------------------------------------------------- what workers tell, unasked


class Beat(Message, frozen=True, tag="beat"):
    """The worker lives."""


class Report(Message, frozen=True, tag="report", omit_defaults=True):
    """What happened since the last report, in order: output, then phases, then answers, then ends."""

    chunks: tuple[Chunk, ...] = ()
    started: tuple[Started, ...] = ()
    returned: tuple[Ref, ...] = ()  # asked back, and not started: they go nowhere here
    kept: tuple[Ref, ...] = ()  # asked back, and already started (or unknown here because ended)
    ends: tuple[End, ...] = ()
    confirm: tuple[Ref, ...] = ()  # may these be uploaded?


class Bye(Message, frozen=True, tag="bye"):
    """The worker stops in good order; what it still runs goes on under its keepers."""


# ---------------------------------------------------------------------------- answers


class Error(Message, frozen=True, tag="error"):
    """The request failed. `id` is None when the message had none that could be read."""

    id: int | None
    error: dict[str, str]  # code, message


class Welcome(Message, frozen=True, tag="welcome", omit_defaults=True):
    id: int
    protocol: int
    mesh: str
    epoch: int
    version: str
    role: Role
    worker: str = ""  # the worker's name in this mesh, which may differ from the one it asked for
    concurrency: int = 0
    prefetch: int = 0
    beat_seconds: float = 0.0
    verdicts: tuple[Verdict, ...] = ()
    suspended: tuple[Ref, ...] = ()


class PartKept(Message, frozen=True, tag="part_kept"):
    id: int
    part: int


class Submitted(Message, frozen=True, tag="submitted", omit_defaults=True):
    """Ids first … first + count - 1 exist; `warnings` are lines for the user."""

    id: int
    first: int
    count: int
    warnings: tuple[str, ...] = ()


class TaskPage(Message, frozen=True, tag="task_page"):
    """`next` is the `after` of the following page, None at the end (a page may be short before that)."""

    id: int
    tasks: tuple[Task, ...]
    next: int | None


class AttemptPage(Message, frozen=True, tag="attempt_page"):
    id: int
    attempts: tuple[Attempt, ...]
    next: int | None


class OutputPart(Message, frozen=True, tag="output_part", omit_defaults=True):
    """`data` begins at `offset`, which is past the offset asked for where bytes are not kept (`gap` says so).

    `next` is the offset to ask for next; `end`: nothing more will come on this stream.
    """

    id: int
    task: int
    attempt: int
    stream: StreamName
    offset: int
    data: bytes
    next: int
    end: bool = False
    gap: int = 0
    note: str = ""


class Changed(Message, frozen=True, tag="changed"):
    id: int
    changes: tuple[Change, ...]


class FollowEnd(Message, frozen=True, tag="follow_end"):
    """All that was followed has ended; nothing more comes under this id."""

    id: int
    ends: tuple[Ended, ...] = ()


class Done(Message, frozen=True, tag="done", omit_defaults=True):
    """`count` tasks were touched, `skipped` (at most 1,000) were not, `missing` workers did not answer."""

    id: int
    count: int = 0
    skipped: tuple[Skipped, ...] = ()
    missing: tuple[str, ...] = ()


class Explained(Message, frozen=True, tag="explained"):
    id: int
    lines: tuple[str, ...]


class BatchPage(Message, frozen=True, tag="batch_page"):
    id: int
    batches: tuple[Batch, ...]
    next: str | None


class WorkerPage(Message, frozen=True, tag="worker_page"):
    id: int
    workers: tuple[Worker, ...]
    next: str | None


class ResourceList(Message, frozen=True, tag="resource_list", omit_defaults=True):
    """`more` resources are on the worker than are listed."""

    id: int
    resources: tuple[Resource, ...] = ()
    more: Count = 0


class Cleaned(Message, frozen=True, tag="cleaned"):
    """So many folders of tasks were removed, which held so many bytes."""

    id: int
    folders: Count
    bytes: Count


class ProgressIs(Message, frozen=True, tag="progress_is", omit_defaults=True):
    """One line for each image, input, resource or result that is on its way for the task."""

    id: int
    lines: tuple[str, ...] = ()


class AccessKeys(Message, frozen=True, tag="access_keys", omit_defaults=True):
    """`server_key` is the broker's public key, for the new access file."""

    id: int
    server_key: str
    keys: tuple[Access, ...] = ()


class RegistriesAre(Message, frozen=True, tag="registries_are"):
    id: int
    registries: tuple[Registry, ...]


class StatusIs(Message, frozen=True, tag="status_is"):
    id: int
    mesh: str
    epoch: int
    version: str
    pid: int
    started_at: float
    batches: int
    counts: dict[str, int]
    workers: dict[str, int]
    refused_messages: int
    notes: tuple[str, ...]


# ---------------------------------------------------------------------------- orders to workers


class Assign(Message, frozen=True, tag="assign"):
    tasks: tuple[Assignment, ...]


class Recall(Message, frozen=True, tag="recall"):
    """Give these back if they have not started: answer each in `Report.returned` or `Report.kept`."""

    tasks: tuple[Ref, ...]


class Halt(Message, frozen=True, tag="halt", omit_defaults=True):
    """End these now; `terminate` asks them first (SIGTERM), then kills. They end as `cancelled`."""

    tasks: tuple[Ref, ...]
    terminate: bool = False


class Suspend(Message, frozen=True, tag="suspend"):
    tasks: tuple[Ref, ...]


class Resume(Message, frozen=True, tag="resume"):
    tasks: tuple[Ref, ...]


class Confirmed(Message, frozen=True, tag="confirmed"):
    """These are current: their upload may go on."""

    tasks: tuple[Ref, ...]


class Settings(Message, frozen=True, tag="settings"):
    concurrency: int
    prefetch: int


class Logins(Message, frozen=True, tag="logins"):
    """All registries that are to be logged in to, in the place of those told before; for workers with an engine."""

    logins: tuple[Login, ...]


class Ack(Message, frozen=True, tag="ack", omit_defaults=True):
    """Durable: these ends may be forgotten, these bytes dropped; `refused`: nothing past this is accepted."""

    ends: tuple[Ref, ...] = ()
    logs: tuple[LogMark, ...] = ()
    wanted: tuple[LogMark, ...] = ()  # send again from here; then the end again
    refused: tuple[LogMark, ...] = ()


class Dismissed(Message, frozen=True, tag="dismissed"):
    """This worker was deleted, or another agent took its place: stop what you hold, and leave."""

    reason: str


Request = (
    Hello
    | Submit
    | Tasks
    | Attempts
    | Output
    | FollowOutput
    | Follow
    | Credit
    | Unfollow
    | Cancel
    | Relaunch
    | Update
    | Delete
    | Explain
    | Batches
    | BatchStop
    | BatchGo
    | BatchDelete
    | Workers
    | WorkerUpdate
    | WorkerDelete
    | WorkerResources
    | WorkerClean
    | WorkerProgress
    | AccessCreate
    | AccessList
    | AccessRevoke
    | RegistryLogin
    | RegistryList
    | RegistryLogout
    | Status
    | Beat
    | Report
    | ResourceList
    | Cleaned
    | ProgressIs
    | Bye
)
Answer = (
    Error
    | Welcome
    | PartKept
    | Submitted
    | TaskPage
    | AttemptPage
    | OutputPart
    | Changed
    | FollowEnd
    | Done
    | Explained
    | BatchPage
    | WorkerPage
    | ResourceList
    | Cleaned
    | ProgressIs
    | AccessKeys
    | RegistriesAre
    | StatusIs
    | Assign
    | Recall
    | Halt
    | Suspend
    | Resume
    | Confirmed
    | Settings
    | WorkerResources
    | WorkerClean
    | WorkerProgress
    | Logins
    | Ack
    | Dismissed
)

# What the decoder raises: bytes that are no msgpack or of another shape, text that is no UTF-8, a tower of nesting.
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)

_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
_specs: msgspec.msgpack.Decoder[Spec] = msgspec.msgpack.Decoder(Spec)


class _Envelope(Struct):
    id: int | None = None


_envelopes = msgspec.msgpack.Decoder(_Envelope)


def encode(message: Message) -> bytes:
    """The frame of a message; TooLarge when it passes the bound."""
    frame = _encoder.encode(message)
    if len(frame) > MESSAGE_LIMIT:
        raise TooLarge(
            f"a {type(message).__name__} message of {len(frame)} bytes passes the limit of {MESSAGE_LIMIT}"
        )
    return frame


def decode_request(frame: bytes | memoryview) -> Request:
    """What a peer asks or tells the broker; BadMessage says what is wrong with the bytes."""
    try:
        return _requests.decode(frame)
    except _UNREADABLE as problem:
        raise BadMessage(f"not a message of protocol {PROTOCOL}: {problem}") from None


def decode_answer(frame: bytes | memoryview) -> Answer:
    """What the broker says; BadMessage says what is wrong with the bytes."""
    try:
        return _answers.decode(frame)
    except _UNREADABLE as problem:
        raise BadMessage(f"not a message of protocol {PROTOCOL}: {problem}") from None


def request_id(frame: bytes | memoryview) -> int | None:
    """The `id` of a message that did not decode, so that its sender can be told."""
    try:
        return _envelopes.decode(frame).id
    except _UNREADABLE:
        return None


def pack_spec(spec: Spec) -> bytes:
    """A specification as it travels and rests."""
    return _encoder.encode(spec)


def unpack_spec(packed: bytes | memoryview | Raw) -> Spec:
    """The specification in these bytes; BadMessage says which field is wrong."""
    try:
        return _specs.decode(packed)
    except _UNREADABLE as problem:
        raise BadMessage(f"not a task: {problem}") from None


def pack(value: Any) -> bytes:
    """Plain msgpack of any value of the model."""
    return _encoder.encode(value)
