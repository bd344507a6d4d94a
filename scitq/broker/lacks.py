"""What workers lack of what a task needs, in words: pure, for explanations and warnings."""

from collections.abc import Iterator

from scitq.broker.offers import Offer, Shortfall
from scitq.broker.state import WorkerState
from scitq.needs import ALL_GPUS, Needs

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def never(workers: list[WorkerState], needs: Needs) -> str:
    """What none of these workers `has`, so that no task with these needs could ever run; "" when one could."""
    if any(worker.could(needs) for worker in workers):
        return ""
    able = [worker for worker in workers if worker.engine or not needs.container]
    if not able:
        return "a container engine that answers"
    for what, asked in _asked(needs):
        best = max(able, key=lambda worker: _has(worker, what))
        if asked > (most := _has(best, what)):
            if not most:
                return "a GPU" if what == "gpu" else _said(what, asked)
            return f"{_said(what, asked)}: the largest has {_amount(what, most)} ({best.name})"
    return " and ".join(_said(what, asked) for what, asked in _asked(needs)) + " at once"


def until(worker: WorkerState, needs: Needs) -> str:
    """What must be free on the worker before it runs this, each with how much is; "" when all is."""
    return " and ".join(_missing(short) for short in Offer(worker).shortfalls(needs))


def _missing(short: Shortfall) -> str:
    free = "are free" if short.asked > 1 else "is free"
    now = f"{_amount(short.what, max(short.free, 0))} of {_amount(short.what, short.has)} now"
    if short.what == "gpu" and short.free <= 0:
        now = "its GPU is taken" if short.has == 1 else f"its {short.has:g} GPUs are taken"
    return f"{_said(short.what, short.asked)} {free} ({now})"


def _asked(needs: Needs) -> Iterator[tuple[str, float]]:
    asked = (
        ("cpu", needs.cpu),
        ("mem", needs.mem),
        ("gpu", 1 if needs.gpu == ALL_GPUS else needs.gpu),
        ("disk", needs.disk),
    )
    return (each for each in asked if each[1])


def _has(worker: WorkerState, what: str) -> float:
    return {"cpu": worker.cpus, "mem": worker.memory, "gpu": len(worker.gpus), "disk": worker.disk}[what]


def _said(what: str, number: float) -> str:
    match what:
        case "cpu":
            return f"{_amount(what, number)} cpu{'s' * (number > 1)}"
        case "gpu":
            return f"{number:g} GPU{'s' * (number > 1)}" if number >= 1 else f"{number:g} of a GPU"
        case _:
            return f"{_amount(what, number)} of {'memory' if what == 'mem' else 'disk'}"


def _amount(what: str, number: float) -> str:
    return _bytes(number) if what in ("mem", "disk") else f"{number:.3g}"


def _bytes(count: float) -> str:
    unit = 0
    while unit < len(_UNITS) - 1 and count >= 1000:
        count, unit = count / 1024, unit + 1
    return f"{count:.3g} {_UNITS[unit]}"
