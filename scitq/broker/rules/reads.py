"""Answers to reads: views of the state, paged; nothing here makes a fact."""

from collections.abc import Iterator
from itertools import islice

from scitq import wire
from scitq.broker.commands import Decision, Peer
from scitq.broker.events import CLASSES, RESULTS, Log, Result
from scitq.broker.rules.orders import matches, selected
from scitq.broker.state import BatchState, State, WorkerState
from scitq.broker.tasks import Live, unpack_end
from scitq.errors import NotFound, UsageError
from scitq.model import ENDED, MIB, Attempt, Batch, Stream, Task, Worker
from scitq.wire import PAGE_LIMIT

PAGE_BYTES = 2 * MIB
SCAN_LIMIT = 50_000  # tasks looked at for one page: other peers wait meanwhile


def task_view(state: State, task: int) -> Task:
    """A task as its users see it."""
    spec, submission, slot = state.tasks.spec(task), state.tasks.submission(task), state.tasks.slot(task)
    attempt, worker, started_at, ended_at = 0, "", None, None
    last: Result | None = None
    reason = ""
    if type(slot) is Live:
        attempt = slot.attempt
        last = slot.past[-1] if slot.past else None
        if slot.held is not None:
            attempt, started_at = slot.held.attempt, slot.held.started_at
            worker, last = worker_name(state, slot.held.worker), None
        elif slot.place.status == "waiting":
            reason, last = waiting_reason(state, slot), None
    elif type(slot) is bytes:
        record = unpack_end(slot)
        attempt, reason = record.attempt, record.reason
        last = record.past[-1] if record.past and not record.reason else None
    if last is not None:
        worker, reason = worker_name(state, last.worker), last.reason
        if type(slot) is bytes:
            attempt = last.attempt  # not the last number used, when an earlier attempt was current again
            started_at = None if last.started_ms is None else last.assigned_at + last.started_ms / 1000
            ended_at = last.assigned_at + last.ended_ms / 1000
    return Task(
        id=task,
        name=spec.name,
        batch=spec.batch,
        status=state.status_of(task),
        attempt=attempt,
        worker=worker,
        command=spec.command,
        exit_code=None if last is None else last.exit_code,
        class_="" if last is None else CLASSES[last.class_],
        reason=reason,
        submitted_at=submission.at,
        submitted_by=submission.by,
        started_at=started_at,
        ended_at=ended_at,
        container=spec.container,
        container_options=spec.container_options,
        inputs=spec.inputs,
        resources=spec.resources,
        output=spec.output,
        env=spec.env,
        uid=spec.uid,
        gid=spec.gid,
        retry=spec.retry,
        run_timeout=spec.run_timeout,
        download_timeout=spec.download_timeout,
        priority=spec.priority,
        log_limit=spec.log_limit,
        requires=spec.requires,
        cpu=spec.cpu,
        mem=spec.mem,
        gpu=spec.gpu,
        disk=spec.disk,
    )


def waiting_reason(state: State, live: Live) -> str:
    """Which tasks it waits for, and which of them will not come without help."""
    missing = sorted(getattr(live.place, "missing", ()))
    gone = [task for task in missing if task not in state.tasks]
    bad = [task for task in missing if task in state.tasks and state.status_of(task) in ("failed", "cancelled")]
    if gone:
        return f"waits for task {gone[0]}, which was deleted"
    if bad:
        how = "failed" if state.status_of(bad[0]) == "failed" else "was cancelled"
        return f"waits for task {bad[0]}, which {how}" if len(bad) == 1 else (
            f"waits for {len(bad)} tasks that did not succeed ({bad[0]} …)"
        )  # fmt: skip
    return f"waits for task {missing[0]}" if len(missing) == 1 else f"waits for {len(missing)} tasks ({missing[0]} …)"


def worker_name(state: State, number: int) -> str:
    """The name of a worker that is or was."""
    worker = state.workers.get(number)
    return worker.name if worker is not None else state.former.get(number, "")


def tasks(state: State, peer: Peer, message: wire.Tasks, decision: Decision) -> None:
    """A page of tasks."""
    found, following = _page(state, message)
    decision.send(
        peer.route,
        wire.TaskPage(id=message.id, tasks=tuple(task_view(state, task) for task in found), next=following),
    )


def attempts(state: State, peer: Peer, message: wire.Attempts, decision: Decision) -> None:
    """A page of tasks, each with all its attempts."""
    found, following = _page(state, message)
    rows: list[Attempt] = []
    size = 0
    for number, task in enumerate(found):
        attempts = list(attempts_of(state, task))
        size += sum(len(name) + 16 for attempt in attempts for name, _ in attempt.stored)
        if number and size > PAGE_BYTES:
            following = found[number - 1]
            break
        rows += attempts
    decision.send(peer.route, wire.AttemptPage(id=message.id, attempts=tuple(rows), next=following))


def _page(state: State, message: wire.Tasks | wire.Attempts) -> tuple[list[int], int | None]:
    limit = min(max(message.limit, 1), PAGE_LIMIT)
    select = message.select
    if select.ids is not None:
        ids = [task for task in selected(state, select) if task > message.after]
        page = ids[: _fitting(state, ids[:limit])]
        return page, page[-1] if len(ids) > len(page) else None
    if select.batch is not None and select.batch not in state.batches:
        raise NotFound(f"there is no batch {select.batch}")
    found: list[int] = []
    size = 0
    for looked, task in enumerate(state.tasks.ids(message.after), 1):
        if matches(state, task, select):
            found.append(task)
            size += _size(state, task)
        if len(found) >= limit or looked >= SCAN_LIMIT or size > PAGE_BYTES:
            return found, task
    return found, None


def _size(state: State, task: int) -> int:
    return len(state.tasks.packed(task)) + 512


def _fitting(state: State, tasks: list[int]) -> int:
    """How many of the tasks one page can hold; one at least."""
    size = 0
    for number, task in enumerate(tasks):
        size += _size(state, task)
        if size > PAGE_BYTES and number:
            return number
    return len(tasks)


def attempts_of(state: State, task: int) -> Iterator[Attempt]:
    """All attempts of a task, the present one last."""
    slot = state.tasks.slot(task)
    for result in _past(slot):
        yield _attempt(state, task, result)
    if type(slot) is Live and slot.held is not None:
        held = slot.held
        yield Attempt(
            task=task,
            attempt=held.attempt,
            epoch=held.epoch,
            status=slot.place.status,
            worker=worker_name(state, held.worker),
            assigned_at=held.assigned_at,
            started_at=held.started_at,
        )


def _past(slot: Live | bytes | None) -> tuple[Result, ...]:
    if type(slot) is Live:
        return slot.past
    return unpack_end(slot).past if type(slot) is bytes else ()


def _attempt(state: State, task: int, result: Result) -> Attempt:
    return Attempt(
        task=task,
        attempt=result.attempt,
        epoch=result.epoch,
        status=RESULTS[result.status],
        worker=worker_name(state, result.worker),
        assigned_at=result.assigned_at,
        started_at=None if result.started_ms is None else result.assigned_at + result.started_ms / 1000,
        ended_at=result.assigned_at + result.ended_ms / 1000,
        class_=CLASSES[result.class_],
        exit_code=result.exit_code,
        signal=result.signal,
        reason=result.reason,
        staging_seconds=result.staging_ms / 1000,
        run_seconds=result.run_ms / 1000,
        upload_seconds=result.upload_ms / 1000,
        suspended_seconds=result.suspended_ms / 1000,
        cpu_seconds=result.cpu_ms / 1000,
        peak_memory=result.peak_kib * 1024,
        bytes_in=result.bytes_in,
        bytes_out=result.bytes_out,
        versions=result.versions,
        stored=result.stored,
        stdout=_stream(result.stdout),
        stderr=_stream(result.stderr),
        read_bytes=result.read_kib * 1024,
        written_bytes=result.written_kib * 1024,
        peak_disk=result.disk_kib * 1024,
    )


def _stream(log: Log | None) -> Stream:
    return Stream() if log is None else Stream(log.total, log.head, log.tail, log.note)


def batches(state: State, peer: Peer, message: wire.Batches, decision: Decision) -> None:
    """A page of batches, by name."""
    limit = min(max(message.limit, 1), PAGE_LIMIT)
    names = sorted(name for name in state.batches if name > message.after)
    page = tuple(batch_view(state, state.batches[name]) for name in names[:limit])
    following = names[limit - 1] if len(names) > limit else None
    decision.send(peer.route, wire.BatchPage(id=message.id, batches=page, next=following))


def batch_view(state: State, batch: BatchState) -> Batch:
    """A batch as its users see it."""
    workers = sum(worker.status == "online" for worker in state.serving(batch.name))
    return Batch(name=batch.name, stopped=batch.stopped, workers=workers, **batch.counts)  # type: ignore[arg-type]


def workers(state: State, peer: Peer, message: wire.Workers, now: float, decision: Decision) -> None:
    """A page of workers, by name."""
    limit = min(max(message.limit, 1), PAGE_LIMIT)
    rows = sorted((w for w in state.workers.values() if w.name > message.after), key=lambda worker: worker.name)
    page = tuple(_worker(worker, now) for worker in islice(rows, limit))
    following = page[-1].name if len(rows) > limit else None
    decision.send(peer.route, wire.WorkerPage(id=message.id, workers=page, next=following))


def _worker(worker: WorkerState, now: float) -> Worker:
    return Worker(
        id=worker.id,
        name=worker.name,
        status=worker.status,  # type: ignore[arg-type]
        paused=worker.paused,
        batch=worker.batch,
        concurrency=worker.concurrency,
        prefetch=worker.prefetch,
        running=sum(live.place.status == "running" for live in worker.held.values()),
        held=len(worker.held),
        succeeded=worker.succeeded,
        failed=worker.failed,
        hostname=worker.hostname,
        cpus=worker.cpus,
        memory=worker.memory,
        version=worker.version,
        engine=worker.engine,
        gpus=worker.gpus,
        disk=worker.disk,
        tags="G" if worker.gpus else "",
        joined_at=worker.joined_at,
        seen_at=now if worker.status == "online" else worker.seen_at,
    )


def change_of(state: State, task: int) -> wire.Change:
    """A task as followers are told of it."""
    if task not in state.tasks:
        return wire.Change(task, 0, "deleted")
    slot = state.tasks.slot(task)
    status = state.status_of(task)
    if type(slot) is Live:
        held = slot.held
        if held is None:
            return wire.Change(task, slot.attempt, status)
        return wire.Change(task, held.attempt, status, worker=worker_name(state, held.worker))
    if type(slot) is bytes:
        record = unpack_end(slot)
        if record.past and not record.reason:
            last = record.past[-1]
            return wire.Change(
                task,
                last.attempt,
                status,
                CLASSES[last.class_],
                last.exit_code,
                last.reason,
                worker_name(state, last.worker),
            )
        return wire.Change(task, record.attempt, status, "cancelled", None, record.reason)
    return wire.Change(task, 0, status)


def log_of(state: State, task: int, attempt: int, stream: int) -> tuple[int, Log, bool]:
    """The attempt (0: the latest), what is kept of its stream, and whether nothing more will come."""
    if task not in state.tasks:
        raise NotFound(f"there is no task {task}")
    slot = state.tasks.slot(task)
    if slot is None:
        raise_unless_latest(task, attempt)
        return 0, Log(), False
    past = slot.past if type(slot) is Live else unpack_end(slot).past  # type: ignore[arg-type]
    if type(slot) is Live and slot.held is not None and attempt in (0, slot.held.attempt):
        log = slot.logs.get(stream)
        if log is None:
            return slot.held.attempt, Log(), False
        head = log.head if log.head >= 0 else log.next
        tail = log.tail if log.head >= 0 else log.next
        return (
            slot.held.attempt,
            Log(log.next, head, tail, log.refused, None if log.pointer < 0 else log.pointer),
            False,
        )
    chosen = [result for result in past if attempt in (0, result.attempt)]
    if not chosen:
        raise_unless_latest(task, attempt)
        return 0, Log(), type(slot) is bytes
    result = chosen[-1]
    over = type(slot) is bytes or attempt != 0
    return result.attempt, (result.stdout, result.stderr)[stream] or Log(), over


def raise_unless_latest(task: int, attempt: int) -> None:
    """NotFound when a certain attempt was asked for."""
    if attempt:
        raise NotFound(f"task {task} has no attempt {attempt}")


def explain_target(message: wire.Explain) -> None:
    """UsageError unless the question names one thing."""
    if (message.task is None) == (message.batch is None):
        raise UsageError("name a task or a batch to explain")


def is_over(status: str) -> bool:
    """Whether a status is an end."""
    return status in ENDED or status == "deleted"
