"""Whatever is said to the broker, in whatever order: its invariants hold, and its journal tells it all."""

from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scitq import wire
from scitq.broker import events
from scitq.broker.check import check
from scitq.broker.commands import DropParts, Gone, Peer, Send, Silent
from scitq.model import MIB, Array, Changes, Gpu, Outcome, Range, Spec, Stream
from scitq.wire import Chunk, Ref, Started
from tests.pure_broker import ADMIN, PureBroker, dump, refold, replay

Means = tuple[int, int, int, str]  # cpus, MiB of memory, GPUs, container engine
NAMES = ("w1", "w2", "w3")
BATCHES = ("Default", "blue")
TASKS = st.integers(1, 14)
PHASES = st.sampled_from(["staging", "running", "uploading"])
CLASSES = st.sampled_from(["exit", "signal", "oom", "timeout", "download", "upload", "lost"])


REQUESTS: tuple[dict[str, Any], ...] = (
    *({},) * 4,
    {"mem": 16 * MIB},
    {"mem": 48 * MIB},
    {"cpu": 1.5},
    {"cpu": 4},
    {"gpu": 0.5},
    {"gpu": 2},
    {"disk": 40 * MIB, "gpu": 1},
    {"container": "tiny", "container_options": "--gpus all"},
)


def specs() -> st.SearchStrategy[Spec]:
    return st.sampled_from(REQUESTS).flatmap(_specs)


def _specs(request: dict[str, Any]) -> st.SearchStrategy[Spec]:
    return st.builds(
        Spec,
        **{name: st.just(value) for name, value in request.items()},
        command=st.just(("true",)),
        batch=st.sampled_from(BATCHES),
        retry=st.integers(0, 2),
        priority=st.integers(0, 1),
        requires=st.lists(TASKS, max_size=2).map(tuple),
    )


def changes() -> st.SearchStrategy[Changes]:
    return st.one_of(
        st.builds(Changes, priority=st.integers(0, 2)),
        st.builds(Changes, batch=st.sampled_from(BATCHES)),
        st.builds(Changes, command=st.just(("false",))),
        st.builds(Changes, mem=st.sampled_from([None, 16 * MIB, 48 * MIB])),
        st.builds(Changes, cpu=st.sampled_from([None, 4]), gpu=st.just(None)),
    )


def selects() -> st.SearchStrategy[wire.Select]:
    return st.one_of(
        st.builds(wire.Select, ids=st.lists(TASKS, min_size=1, max_size=4).map(tuple)),
        st.builds(wire.Select, batch=st.sampled_from(BATCHES)),
        st.builds(wire.Select, status=st.sampled_from(["pending", "failed", "running"]).map(lambda s: (s,))),
    )


class Mesh(RuleBasedStateMachine):
    """Clients that order anything, workers that report anything, believable or not."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = PureBroker()
        self.request = 0
        self.refs: dict[int, Ref] = {}

    # ------------------------------------------------------------------------ clients

    def ask(self, message: wire.Request, peer: Peer = ADMIN) -> list[Send]:
        sends = self.broker.ask(message, peer)
        if not isinstance(message, wire.Hello):
            answered = any(send.to == peer.route for send in sends) or self.broker.waits
            assert answered or isinstance(message, wire.AccessCreate), message
        return sends

    @initialize()
    def first_tasks(self) -> None:
        self.submit([Spec(command=("true",)), Spec(command=("true",), requires=())])
        self.join("w1", 2, 1, "*", [])

    @rule(tasks=st.lists(specs(), min_size=1, max_size=3))
    def submit(self, tasks: list[Spec]) -> None:
        self.request += 1
        packed = tuple(msgspec.Raw(wire.pack_spec(spec)) for spec in tasks)
        message = wire.Submit(id=1, request=f"r{self.request}", specs=packed)
        first = self.ask(message)
        # The same request again says the same, and changes nothing.
        before = len(self.broker.entries)
        if isinstance(first[0].message, wire.Submitted):
            again = self.ask(message)
            assert (again[0].message.first, again[0].message.count) == (  # type: ignore[union-attr]
                first[0].message.first,
                first[0].message.count,
            )
            assert len(self.broker.entries) == before

    @rule(requests=st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=4))
    def submit_and_place(self, requests: list[dict[str, Any]]) -> None:
        self.submit([Spec(command=("true",), **request) for request in requests])
        self.place()

    @rule(count=st.integers(1, 3), spec=specs())
    def submit_array(self, count: int, spec: Spec) -> None:
        self.request += 1
        array = Array(template=spec, count=count, columns={"n": Range(0, 1)})
        self.ask(wire.Submit(id=1, request=f"r{self.request}", array=array))

    @rule(part=st.integers(0, 2), last=st.booleans(), spec=specs(), empty=st.booleans())
    def submit_part(self, part: int, last: bool, spec: Spec, empty: bool) -> None:
        packed = () if empty else (msgspec.Raw(wire.pack_spec(spec)),)
        self.ask(wire.Submit(id=1, request=f"parts{self.request}", part=part, last=last, specs=packed))

    @rule(wait=st.sampled_from([10, 100_000]))
    def drop_parts(self, wait: int) -> None:
        self.broker.wall += wait
        self.broker.tell(DropParts(self.broker.wall - 86_400))

    @rule(select=selects())
    def cancel(self, select: wire.Select) -> None:
        self.ask(wire.Cancel(id=1, select=select))

    @rule(select=selects(), change=st.one_of(st.just(Changes()), changes()))
    def relaunch(self, select: wire.Select, change: Changes) -> None:
        self.ask(wire.Relaunch(id=1, select=select, changes=change))

    @rule(select=selects(), change=changes())
    def update(self, select: wire.Select, change: Changes) -> None:
        self.ask(wire.Update(id=1, select=select, changes=change))

    @rule(select=selects(), force=st.booleans())
    def delete(self, select: wire.Select, force: bool) -> None:
        self.ask(wire.Delete(id=1, select=select, force=force))

    @rule(batch=st.sampled_from(BATCHES), how=st.sampled_from(["stop", "suspend", "terminate", "kill"]))
    def stop(self, batch: str, how: Any) -> None:
        self.ask(wire.BatchStop(id=1, batch=batch, how=how))

    @rule(batch=st.sampled_from(BATCHES))
    def go(self, batch: str) -> None:
        self.ask(wire.BatchGo(id=1, batch=batch))

    @rule(batch=st.sampled_from(BATCHES), force=st.booleans())
    def delete_batch(self, batch: str, force: bool) -> None:
        self.ask(wire.BatchDelete(id=1, batch=batch, force=force))

    @rule(
        name=st.sampled_from(NAMES),
        concurrency=st.none() | st.integers(1, 3),
        prefetch=st.none() | st.integers(0, 2),
        batch=st.none() | st.sampled_from((*BATCHES, "*")),
        paused=st.none() | st.booleans(),
    )
    def update_worker(self, name: str, **fields: Any) -> None:
        self.ask(wire.WorkerUpdate(id=1, worker=name, **fields))

    @rule(name=st.sampled_from(NAMES), force=st.booleans())
    def delete_worker(self, name: str, force: bool) -> None:
        self.ask(wire.WorkerDelete(id=1, worker=name, force=force))

    @rule(message=st.sampled_from([
        wire.Tasks(id=1, select=wire.Select(batch="blue")),
        wire.Attempts(id=1, select=wire.Select(status=("failed", "running", "pending"))),
        wire.Batches(id=1), wire.Workers(id=1), wire.Explain(id=1, batch="Default"), wire.Explain(id=1, task=1),
    ]))  # fmt: skip
    def read(self, message: wire.Request) -> None:
        before = len(self.broker.entries)
        self.ask(message)
        assert len(self.broker.entries) == before

    @rule(name=st.sampled_from(["ann", "bob"]), key=st.sampled_from("xy"))
    def grant(self, name: str, key: str) -> None:
        self.ask(wire.AccessCreate(id=1, name=name, role="user", key=key * 40))

    @rule(name=st.sampled_from(["ann", "bob"]))
    def revoke(self, name: str) -> None:
        self.ask(wire.AccessRevoke(id=1, name=name))

    # ------------------------------------------------------------------------ workers

    def number(self, name: str) -> int | None:
        return self.broker.state.worker_ids.get(f"id of {name}")

    def known_refs(self) -> list[Ref]:
        """All attempts that were ever handed over, and a few that never were."""
        refs: list[Ref] = []
        for entry in self.broker.entries:
            for fact in entry.events:
                if isinstance(fact, events.Assigned):
                    for task in fact.tasks:
                        attempt = 1 + sum(ref.task == task for ref in refs)
                        refs.append(Ref(task, attempt, self.broker.state.epoch))
        return [*refs, Ref(1, 9, 1), Ref(99, 1, 1)]

    def some_refs(self, data: st.DataObject, name: str) -> list[Ref]:
        """Mostly what this worker holds, sometimes anything."""
        number = self.number(name)
        worker = self.broker.state.workers.get(number or 0)
        mine = [
            Ref(task, live.held.attempt, live.held.epoch)
            for task, live in (worker.held.items() if worker else ())
            if live.held is not None
        ]
        draw: Any = data.draw
        pool = mine if mine and draw(st.integers(0, 3)) else self.known_refs()
        chosen: list[Ref] = draw(st.lists(st.sampled_from(pool), max_size=4))
        return chosen

    @rule(
        name=st.sampled_from(NAMES),
        concurrency=st.integers(1, 3),
        prefetch=st.integers(0, 2),
        batch=st.sampled_from((*BATCHES, "*")),
        means=st.tuples(st.sampled_from([1, 4]), st.sampled_from([32, 64]), st.integers(0, 2), st.sampled_from("d ")),
        data=st.data(),
    )
    def join_again(
        self, name: str, concurrency: int, prefetch: int, batch: str, means: Means, data: st.DataObject
    ) -> None:
        phase = st.sampled_from(["staged", "running", "uploading", "ended"])
        held = [wire.Held(ref=ref, phase=data.draw(phase)) for ref in self.some_refs(data, name)]  # type: ignore[arg-type]
        self.join(name, concurrency, prefetch, batch, held, means)

    def join(
        self,
        name: str,
        concurrency: int,
        prefetch: int,
        batch: str,
        held: list[wire.Held],
        means: Means = (4, 64, 2, "d"),
    ) -> None:
        cpus, memory, gpus, engine = means
        enrol = wire.Enrolment(
            worker=f"id of {name}",
            name=name,
            batch=batch,
            concurrency=concurrency,
            prefetch=prefetch,
            hostname="h",
            cpus=cpus,
            memory=memory * MIB,
            boot="b",
            engine=engine.strip(),
            gpus=(Gpu("T4", 16 * MIB),) * gpus,
            disk=64 * MIB,
            held=tuple(held),
        )
        peer = Peer(name.encode(), "worker", name)
        sends = self.ask(wire.Hello(id=1, protocol=wire.PROTOCOL, enrol=enrol), peer)
        said = [send.message for send in sends if send.to in (peer.route, self.number(name))]
        assert isinstance(said[0], wire.Welcome), "a worker hears nothing before its welcome"

    @rule(name=st.sampled_from(NAMES), data=st.data())
    def report(self, name: str, data: st.DataObject) -> None:
        number = self.number(name)
        if number is None:
            return
        draw: Any = data.draw
        wall = self.broker.wall
        streams = st.sampled_from(["stdout", "stderr"])
        chunks = [
            Chunk(ref, draw(streams), draw(st.sampled_from([0, 3, 9])), b"abc", skip=draw(st.booleans()))
            for ref in self.some_refs(data, name)[:2]
        ]
        report = wire.Report(
            chunks=tuple(chunks),
            started=tuple(Started(ref, draw(PHASES), wall) for ref in self.some_refs(data, name)),
            returned=tuple(self.some_refs(data, name)),
            kept=tuple(self.some_refs(data, name)),
            ends=tuple(self._end(data, ref) for ref in self.some_refs(data, name)),
            confirm=tuple(self.some_refs(data, name)[:1]),
        )
        self.broker.full = draw(st.integers(0, 9)) == 0
        self.broker.report(number, report)

    def _end(self, data: st.DataObject, ref: Ref) -> wire.End:
        status = data.draw(st.sampled_from(["succeeded", "failed", "failed", "cancelled"]))
        class_ = data.draw(CLASSES) if status == "failed" else ""
        total = data.draw(st.sampled_from([0, 0, 3, 12]))
        outcome = Outcome(status=status, class_=class_, stdout=Stream(total, total, total))  # type: ignore[arg-type]
        return wire.End(ref, outcome, self.broker.wall, self.broker.wall + 1)

    @rule(name=st.sampled_from(NAMES), how=st.sampled_from([Silent, Gone]))
    def vanish(self, name: str, how: Any) -> None:
        number = self.number(name)
        if number is not None:
            self.broker.tell(how(number))

    @rule(name=st.sampled_from(NAMES), message=st.sampled_from([wire.Bye(), wire.Beat()]))
    def say(self, name: str, message: wire.Request) -> None:
        number = self.number(name)
        self.broker.ask(message, Peer(name.encode(), "worker", name, number))

    # ------------------------------------------------------------------------ the broker itself

    @rule()
    def place(self) -> None:
        self.broker.settle()

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.broker.monotonic += seconds
        self.broker.wall += seconds

    @rule()
    def restart(self) -> None:
        self.broker.restart()

    @precondition(lambda self: self.broker.state.epoch < 3)
    @rule()
    def raise_epoch(self) -> None:
        self.broker.record(events.EpochRaised(self.broker.state.epoch + 1))

    @rule()
    def start_from_a_snapshot(self) -> None:
        """Compaction and a restart: what follows is decided on a state that came from its own fold."""
        self.broker.state = refold(self.broker.state)

    @invariant()
    def all_is_well(self) -> None:
        assert check(self.broker.state) == []

    @invariant()
    def nobody_has_more_than_its_room_was(self) -> None:
        for entry in self.broker.entries[-1:]:
            for fact in entry.events:
                if isinstance(fact, events.Assigned):
                    worker = self.broker.state.workers[fact.worker]
                    assert len(worker.held) <= worker.concurrency + worker.ahead

    @invariant()
    def nobody_was_handed_within_its_slots_what_was_not_free(self) -> None:
        state = self.broker.state
        for entry in self.broker.entries[-1:]:
            for fact in entry.events:
                if (
                    isinstance(fact, events.Assigned)
                    and (worker := state.workers[fact.worker]).busy <= worker.concurrency
                ):
                    all_ = [state.tasks.spec(task) for task in worker.held if task not in worker.storing]
                    for new in (state.tasks.spec(task) for task in fact.tasks):
                        assert sum(s.cpu or worker.cpus / worker.concurrency for s in all_) <= worker.cpus + 1e-6
                        assert not new.mem or sum(s.mem or 0 for s in all_) <= worker.memory
                        assert not new.disk or sum(s.disk or 0 for s in all_) <= worker.disk
                        assert not new.gpu or sum(s.gpu or 0 for s in all_) <= len(worker.gpus)
                        if new.container_options:
                            assert worker.engine
                            assert worker.gpus
                            assert [s for s in all_ if s.gpu or s.container_options] == [new]

    @invariant()
    def the_journal_tells_it_all(self) -> None:
        live = dump(self.broker.state)
        assert dump(replay(self.broker.entries)) == live
        again = refold(self.broker.state)
        assert dump(again) == live
        assert check(again) == []


TestMesh = Mesh.TestCase
TestMesh.settings = settings(
    report_multiple_bugs=False, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
