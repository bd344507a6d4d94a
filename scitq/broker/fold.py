"""`fold(state)`: the events that make this state again, for a snapshot. Only events; so one `apply` opens both."""

from collections.abc import Iterator

from msgspec import Raw

from scitq.broker import events
from scitq.broker.events import Entry, Fact
from scitq.broker.intervals import IntervalSet, Runs, runs_of
from scitq.broker.state import State
from scitq.broker.tasks import Held, Live, Returning, Submission, Waiting
from scitq.wire import PART_LIMIT

ROWS = 5_000  # tasks an entry speaks of: about half a MiB at most


def fold(state: State) -> Iterator[Entry]:
    """Entries whose `apply` on an empty state gives this one."""
    yield Entry(0.0, "fold", (events.MeshCreated(state.mesh, state.epoch),))
    # The revoked first: a key may have been given to another name since.
    for access in sorted(state.access.values(), key=lambda access: access.revoked_at is None):
        yield Entry(access.created_at, "fold", (events.AccessGranted(access.name, access.role, access.key),))
        if access.revoked_at is not None:
            yield Entry(access.revoked_at, "fold", (events.AccessRevoked(access.name),))
    yield from _workers(state)
    for submission in state.tasks.submissions:
        if submission.deleted < submission.count:
            yield from _submission(state, submission)
    yield from _open_parts(state)
    for name, batch in sorted(state.batches.items()):
        fact = events.BatchStopped(name, batch.stopped) if batch.stopped else events.BatchStarted(name)
        yield Entry(0.0, "fold", (fact,))
    yield from _edits(state)
    yield from _tasks(state)
    yield from _gone_batches(state)
    if state.set_aside:
        yield Entry(0.0, "fold", tuple(state.set_aside))
    yield Entry(0.0, "fold", (_counted(state),))


def _workers(state: State) -> Iterator[Entry]:
    for worker in state.workers.values():
        joined = events.WorkerJoined(
            worker.number,
            worker.id,
            worker.name,
            worker.batch,
            worker.concurrency,
            worker.prefetch,
            worker.hostname,
            worker.cpus,
            worker.memory,
            worker.version,
            worker.engine,
            worker.gpus,
            worker.disk,
        )
        yield Entry(worker.joined_at, "fold", (joined,))
        facts: list[Fact] = [joined] if worker.seen_at != worker.joined_at else []
        if worker.paused:
            facts.append(
                events.WorkerChanged(worker.number, worker.concurrency, worker.prefetch, worker.batch, worker.paused)
            )
        if worker.status != "online":
            facts.append(events.WorkerOffline(worker.number))
        if worker.status == "lost":
            facts.append(events.WorkerLost(worker.number))
        if facts:
            yield Entry(worker.seen_at, "fold", tuple(facts))


def _submission(state: State, submission: Submission) -> Iterator[Entry]:
    request, first = submission.request, submission.first
    if submission.array is not None:
        yield Entry(submission.at, "fold", (events.PartKept(request, 0, (), submission.array),))
    else:
        specs = submission.specs or []
        for part, start in enumerate(range(0, len(specs), PART_LIMIT)):
            raws = tuple(Raw(spec) for spec in specs[start : start + PART_LIMIT])
            yield Entry(submission.at, "fold", (events.PartKept(request, part, raws),))
    facts: list[Fact] = [events.Submitted(request, first, submission.count, submission.by)]
    if submission.deleted:
        ids = range(first, first + submission.count)
        facts.append(events.Deleted(runs_of(task for task in ids if task in state.tasks.deleted)))
    yield Entry(submission.at, "fold", tuple(facts))


def _open_parts(state: State) -> Iterator[Entry]:
    for part in state.parts.values():
        for kept in part.parts.values():
            yield Entry(part.at, "fold", (kept,))


def _edits(state: State) -> Iterator[Entry]:
    edited = sorted(state.tasks.edited)
    for start in range(0, len(edited), ROWS):
        rows = edited[start : start + ROWS]
        packed = tuple(state.tasks.edited[task] for task in rows)
        yield Entry(0.0, "fold", (events.SpecsFolded(tuple(rows), packed),))


def _gone_batches(state: State) -> Iterator[Entry]:
    """Submits name batches that all their tasks have left since, and that were then deleted."""
    alive = (submission for submission in state.tasks.submissions if submission.deleted < submission.count)
    named = {group.batch for submission in alive for group in submission.groups}
    for name in sorted(named - state.batches.keys()):
        yield Entry(0.0, "fold", (events.BatchDeleted(name),))


def _tasks(state: State) -> Iterator[Entry]:
    ends: list[tuple[int, bytes]] = []
    # What a worker holds stands in the order of handing over.
    facts: list[Fact] = [_folded(live) for worker in state.workers.values() for live in worker.held.values()]
    for task, slot in state.tasks.touched():
        if type(slot) is bytes:
            ends.append((task, slot))
        elif type(slot) is Live and slot.held is None:
            facts.append(_folded(slot))
        if len(ends) >= ROWS:
            yield Entry(0.0, "fold", (_ends(ends),))
            ends = []
        if len(facts) >= ROWS:
            yield Entry(0.0, "fold", tuple(facts))
            facts = []
    if ends:
        yield Entry(0.0, "fold", (_ends(ends),))
    if facts:
        yield Entry(0.0, "fold", tuple(facts))


def _ends(rows: list[tuple[int, bytes]]) -> events.EndsFolded:
    return events.EndsFolded(tuple(task for task, _ in rows), tuple(packed for _, packed in rows))


def _folded(live: Live) -> events.Folded:
    place = live.place
    held = live.held
    numbers: tuple[int, ...] = ()
    intent, changes, standby = "", None, None
    if isinstance(place, Waiting):
        numbers = tuple(sorted(place.missing))
    elif isinstance(place, Returning):
        intent, changes, standby = place.intent, place.changes, place.standby
    elif isinstance(place, Held):
        intent = "halt" if place.halted else ""
    if held is not None:
        numbers = (held.worker, held.attempt, held.epoch)
    return events.Folded(
        task=live.id,
        attempt=live.attempt,
        failures=live.failures,
        losses=live.losses,
        past=live.past,
        state=place.status,
        numbers=numbers,
        times=() if held is None else (held.assigned_at, held.started_at),
        phase="" if held is None else held.status,
        intent=intent,
        changes=changes,
        standby=standby,
        logs=tuple((stream, *log) for stream, log in live.logs.items()),
        let_go=None if live.let_go is None else _let_go(live.let_go),
        let_go_at=0.0 if live.let_go is None else live.let_go.assigned_at,
        barred=live.barred,
    )


def _let_go(held: Held) -> events.Standby:
    return events.Standby(held.attempt, held.epoch, held.worker, held.status)


def _counted(state: State) -> events.Counted:
    return events.Counted(
        state.tasks.next,
        state.next_worker,
        tuple((worker.number, worker.succeeded, worker.failed) for worker in state.workers.values()),
        state.former,
        _wholly_deleted(state),
        state.relaunches,
        {number: worker.run_seconds for number, worker in state.workers.items() if worker.run_seconds is not None},
    )


def _wholly_deleted(state: State) -> Runs:
    gone = IntervalSet(state.tasks.deleted.runs())
    for submission in state.tasks.submissions:
        if 0 < submission.deleted < submission.count:
            for task in range(submission.first, submission.first + submission.count):
                if task in gone:
                    gone.remove(task)
    return gone.runs()
