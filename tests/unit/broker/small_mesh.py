"""A pure broker with a few workers and plain tasks, to state rules by."""

from typing import Any

from msgspec import Raw

from scitq import wire
from scitq.broker import events
from scitq.model import Gpu, Spec
from tests.pure_broker import PureBroker

GIB = 2**30
Room = tuple[int, int]  # slots, prefetch


def mesh(*rooms: Room, batches: tuple[str, ...] = (), engines: str = "") -> PureBroker:
    """A broker with these workers, numbered from 1, online; `engines` holds the digits of those with docker."""
    broker = PureBroker()
    for number, (slots, prefetch) in enumerate(rooms, 1):
        batch = batches[number - 1] if batches else "Default"
        broker.record(
            events.WorkerJoined(
                *(number, f"id{number}", f"w{number}", batch, slots, prefetch, "h", 1, 1, "v"),
                engine="docker 20" if str(number) in engines else "",
            )
        )
    return broker


def submit(broker: PureBroker, *specs: Spec) -> None:
    packed = tuple(Raw(wire.pack_spec(spec)) for spec in specs)
    broker.ask(wire.Submit(id=1, request=f"r{broker.state.tasks.next}", specs=packed))


def contained(count: int, *, priority: int = 0, batch: str = "Default") -> list[Spec]:
    return [Spec(container="tiny", priority=priority, batch=batch)] * count


def plain(count: int, *, priority: int = 0, batch: str = "Default") -> list[Spec]:
    return [Spec(command=("true",), priority=priority, batch=batch)] * count


def machine(
    number: int,
    slots: int,
    *,
    prefetch: int = 0,
    batch: str = "Default",
    cpus: int = 8,
    mem: int = 64,
    gpus: int = 0,
    disk: int = 100,
    engine: str = "docker 20",
) -> events.WorkerJoined:
    """A worker with means joins; `mem` and `disk` in GiB."""
    return events.WorkerJoined(
        *(number, f"id{number}", f"w{number}", batch, slots, prefetch, "h", cpus, mem * GIB, "v"),
        engine=engine,
        gpus=(Gpu("T4", 16 * GIB),) * gpus,
        disk=disk * GIB,
    )


def machines(*joined: events.WorkerJoined) -> PureBroker:
    """A broker with these workers."""
    broker = PureBroker()
    broker.record(*joined)
    return broker


def asking(
    count: int = 1, *, mem: float = 0, disk: float = 0, priority: int = 0, batch: str = "Default", **fields: Any
) -> list[Spec]:
    """Tasks that ask for more than a slot; `mem` and `disk` in GiB."""
    spec = Spec(
        command=("true",),
        mem=int(mem * GIB) or None,
        disk=int(disk * GIB) or None,
        priority=priority,
        batch=batch,
        **fields,
    )
    return [spec] * count
