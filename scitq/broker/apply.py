"""`apply(state, entry)`: the only writer of the state, the same live and at replay.

Here facts are carried out, never judged: what should happen was decided before (decide.py). The one exception is
what follows by definition: a task whose dependencies have all succeeded is pending.
"""

from collections.abc import Callable
from typing import Any

from scitq.broker import events
from scitq.broker.events import Entry
from scitq.broker.facts import attempts, mesh, orders, snapshots, submits, workers
from scitq.broker.facts.moving import recount
from scitq.broker.state import State


def apply(state: State, entry: Entry) -> None:
    """Carry out the facts of one entry."""
    for event in entry.events:
        CARRY_OUT[type(event)](state, event, entry.at)
    if state.uncounted:
        for worker in state.uncounted.values():
            recount(state, worker)
        state.uncounted.clear()


CARRY_OUT: dict[type, Callable[[State, Any, float], None]] = {
    events.MeshCreated: mesh.mesh_created,
    events.EpochRaised: mesh.epoch_raised,
    events.BrokerStarted: mesh.broker_started,
    events.AccessGranted: mesh.access_granted,
    events.AccessRevoked: mesh.access_revoked,
    events.PartKept: submits.part_kept,
    events.PartsDropped: submits.parts_dropped,
    events.Submitted: submits.submitted,
    events.Edited: orders.edited,
    events.Cancelled: orders.cancelled,
    events.Relaunched: orders.relaunched,
    events.Deleted: orders.deleted,
    events.BatchStopped: orders.batch_stopped,
    events.BatchStarted: orders.batch_started,
    events.BatchDeleted: orders.batch_deleted,
    events.Assigned: attempts.assigned,
    events.Asked: attempts.asked,
    events.Returned: attempts.queued_again,
    events.Requeued: attempts.queued_again,
    events.Kept: attempts.kept,
    events.Entered: attempts.entered,
    events.HaltAsked: attempts.halt_asked,
    events.Ended: attempts.ended,
    events.Reinstated: attempts.reinstated,
    events.LogKept: attempts.log_kept,
    events.LogRefused: attempts.log_refused,
    events.SetAside: attempts.set_aside,
    events.WorkerJoined: workers.worker_joined,
    events.WorkerOffline: workers.worker_offline,
    events.WorkerLost: workers.worker_lost,
    events.WorkerChanged: workers.worker_changed,
    events.WorkerDeleted: workers.worker_deleted,
    events.Folded: snapshots.folded,
    events.EndsFolded: snapshots.ends_folded,
    events.SpecsFolded: snapshots.specs_folded,
    events.Counted: snapshots.counted,
}
