"""Whatever workers have and tasks ask for: what runs at once is never more than there is, and every turn comes."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scitq.broker import events, schedule
from scitq.broker.check import check
from scitq.broker.state import WorkerState
from scitq.model import Spec
from tests.pure_broker import PureBroker, dump, refold
from tests.unit.broker.small_mesh import GIB, asking, machine, submit

Requests = st.SearchStrategy[dict[str, Any]]

MACHINES: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.builds(
        dict,
        slots=st.integers(1, 4),
        prefetch=st.sampled_from([0, 0, 1, 3]),
        cpus=st.integers(1, 4),
        mem=st.sampled_from([32, 64]),
        gpus=st.integers(0, 2),
        engine=st.sampled_from(["", "docker 20"]),
        batch=st.sampled_from(["Default", "*"]),
    ),
    min_size=1,
    max_size=3,
)
CPU: Requests = st.builds(dict, cpu=st.sampled_from([0.5, 1, 3, 4]))
MEM: Requests = st.builds(dict, mem=st.sampled_from([10, 32, 40, 60]))
GPU: Requests = st.builds(dict, gpu=st.sampled_from([0.5, 0.3, 1, 2]))
DISK: Requests = st.builds(dict, disk=st.sampled_from([40, 70]))
REQUESTS: Requests = st.one_of(
    st.just({}),
    CPU,
    MEM,
    GPU,
    DISK,
    st.builds(lambda *parts: {key: part[key] for part in parts for key in part}, CPU, MEM, GPU),
    st.just({"container": "tiny", "container_options": "--gpus all"}),
    st.builds(dict, mem=st.sampled_from([10, 60]), priority=st.just(1)),
)
TASKS = st.lists(REQUESTS, min_size=1, max_size=10)


def overloaded(worker: WorkerState, specs: list[Spec]) -> set[str]:
    """Of what there is not enough for all of these; counted anew, GPUs one by one."""
    n = len(worker.gpus)
    asked = [n if spec.container_options else spec.gpu or 0 for spec in specs]
    whole = sum(int(gpu) for gpu in asked if gpu >= 1)
    shares = sum(gpu for gpu in asked if gpu < 1)
    counts = {
        "cpus": (sum(spec.cpu or worker.cpus / worker.concurrency for spec in specs), worker.cpus + 1e-6),
        "memory": (sum(spec.mem or 0 for spec in specs), worker.memory),
        "disk": (sum(spec.disk or 0 for spec in specs), worker.disk),
        "GPUs": (whole + shares, n + 1e-6),
        "slots": (len(specs), worker.concurrency),
    }
    return {what for what, (total, has) in counts.items() if total > has}


def asked(spec: Spec) -> set[str]:
    """What a task shares with others: of that no more may be promised than there is."""
    gpus = {"GPUs"} if spec.gpu or spec.container_options else set()
    return {"cpus", "slots"} | gpus | ({"memory"} if spec.mem else set()) | ({"disk"} if spec.disk else set())


def hand_over(broker: PureBroker) -> None:
    """Hand over what can be, and take back what is free elsewhere, until all is where it should be."""
    state = broker.state
    for _ in range(50):
        placed = schedule.place(state)
        for number, tasks in placed.items():
            worker = state.workers[number]
            new = [state.tasks.spec(task) for task in tasks[: max(worker.concurrency - worker.busy, 0)]]
            over = overloaded(worker, [*map(state.tasks.spec, worker.held), *new])
            assert not any(asked(spec) & over for spec in new)
            broker.record(events.Assigned(number, tuple(tasks)))
        back = schedule.take_back(state, placed)
        for tasks in back.values():
            broker.record(events.Asked(tuple(tasks), "requeue"), events.Returned(tuple(tasks)))
        if not placed and not back:
            return
    raise AssertionError("placing and taking back never ends")


def start(broker: PureBroker) -> list[int]:
    """Start what is handed over, in its order, when it is free; all that runs."""
    state = broker.state
    begun = []
    for worker in state.workers.values():
        running: list[Spec] = []
        for task in worker.held:
            if overloaded(worker, [*running, state.tasks.spec(task)]):
                break
            running.append(state.tasks.spec(task))
            begun.append(task)
        assert bool(running) == bool(worker.held)
    waiting = [task for task in begun if state.status_of(task) == "assigned"]
    broker.record(events.Entered("running", tuple(waiting), (1.0,) * len(waiting)))
    return begun


@settings(max_examples=300, deadline=None)
@given(machines=MACHINES, tasks=TASKS, later=TASKS, data=st.data())
def test_no_worker_is_handed_more_than_it_has_and_every_turn_comes(
    machines: list[dict[str, Any]], tasks: list[dict[str, Any]], later: list[dict[str, Any]], data: st.DataObject
) -> None:
    broker = PureBroker()
    for number, fields in enumerate(machines, 1):
        broker.record(machine(number, fields["slots"], **{k: v for k, v in fields.items() if k != "slots"}))
    state = broker.state
    able = [fields for fields in (*tasks, *later) if any(_could(worker, fields) for worker in state.workers.values())]
    for fields in tasks:
        submit(broker, *asking(**fields))
    hand_over(broker)
    start(broker)
    for fields in later:
        submit(broker, *asking(**fields))
    while True:
        hand_over(broker)
        assert check(state) == []
        assert dump(refold(state)) == dump(state)
        running = start(broker)
        if not running:
            break
        task = data.draw(st.sampled_from(running))
        broker.record(events.Requeued((task,)), events.Cancelled((task, task)))
    assert sum(batch.counts["cancelled"] for batch in state.batches.values()) == len(able)


def _could(worker: WorkerState, fields: dict[str, Any]) -> bool:
    if "container" in fields:
        return bool(worker.engine and worker.gpus)
    return (
        (fields.get("cpu") or 0) <= worker.cpus
        and fields.get("mem", 0) * GIB <= worker.memory
        and (fields.get("gpu") or 0) <= len(worker.gpus)
        and fields.get("disk", 0) * GIB <= worker.disk
    )
