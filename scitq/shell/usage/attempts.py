"""What one attempt used, beside what its task asks for."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from scitq.model import ENDED, Attempt, Task

_SHORTEST = 1.0  # seconds: of shorter runs the ticks of the clock would be taken for cores


class AttemptUsage(Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """One row: None for what is not known (it has not ended, it never ran) and for what is not asked.

    `cores`: a mean over the run. `cpu mem gpu disk` are the requests that the task has now.
    """

    task: int
    name: str
    attempt: int
    status: str
    class_: str
    worker: str
    run_seconds: float | None = None
    cpu_seconds: float | None = None
    cores: float | None = None
    cpu: float | None
    peak_memory: int | None = None
    mem: int | None
    peak_disk: int | None = None
    disk: int | None
    gpu: float | None
    read_bytes: int | None = None
    written_bytes: int | None = None


MEASURES = ("run_seconds", "cpu_seconds", "cores", "peak_memory", "peak_disk", "read_bytes", "written_bytes")


def usage_of(task: Task, attempt: Attempt) -> AttemptUsage:
    """The row of one attempt at this task."""
    measured = {}
    if attempt.status in ENDED and attempt.run_seconds > 0:
        measured = {
            "run_seconds": attempt.run_seconds,
            "cpu_seconds": attempt.cpu_seconds,
            "cores": attempt.cpu_seconds / max(attempt.run_seconds, _SHORTEST),
            "peak_memory": attempt.peak_memory or None,
            "peak_disk": attempt.peak_disk,
            "read_bytes": attempt.read_bytes,
            "written_bytes": attempt.written_bytes,
        }
    return AttemptUsage(
        task=task.id,
        name=task.name,
        attempt=attempt.attempt,
        status=attempt.status,
        class_=attempt.class_,
        worker=attempt.worker,
        cpu=task.cpu,
        mem=task.mem,
        gpu=task.gpu,
        disk=task.disk,
        **measured,  # type: ignore[arg-type] # each is of the type of its field
    )


def stories(tasks: Iterable[Task], attempts: Iterable[Attempt]) -> Iterator[tuple[Task, list[Attempt]]]:
    """Each task with its attempts, none held longer than that; both come by ascending id of the task.

    They are read at different moments: what only one of them knows of was deleted, or queued, meanwhile.
    """
    rest = iter(attempts)
    ahead = next(rest, None)
    for task in tasks:
        own = []
        while ahead is not None and ahead.task <= task.id:
            if ahead.task == task.id:
                own.append(ahead)
            ahead = next(rest, None)
        yield task, own
