"""Facts of the mesh, its broker and its keys."""

import msgspec

from scitq.broker import events
from scitq.broker.state import State
from scitq.model import Access


def mesh_created(state: State, event: events.MeshCreated, at: float) -> None:
    state.mesh = event.mesh
    state.epoch = event.epoch


def epoch_raised(state: State, event: events.EpochRaised, at: float) -> None:
    state.epoch = event.epoch


def broker_started(state: State, event: events.BrokerStarted, at: float) -> None:
    for worker in state.workers.values():
        if worker.status == "online":
            worker.status = "offline"
    state.roomy.clear()
    state.idle.clear()
    state.crowded.clear()


def access_granted(state: State, event: events.AccessGranted, at: float) -> None:
    access = Access(name=event.name, role=event.role, key=event.key, created_at=at)  # type: ignore[arg-type]
    state.access[event.name] = access
    state.keys[event.key] = access


def access_revoked(state: State, event: events.AccessRevoked, at: float) -> None:
    access = state.access[event.name]
    state.access[event.name] = msgspec.structs.replace(access, revoked_at=at)
    state.keys.pop(access.key, None)
