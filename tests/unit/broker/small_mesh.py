"""A pure broker with a few workers and plain tasks, to state rules by."""

from msgspec import Raw

from scitq import wire
from scitq.broker import events
from scitq.model import Spec
from tests.pure_broker import PureBroker

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
