"""Broker, workers, a client and a bad network in one virtual time, all chance from one seed.

A connection keeps its messages in order and loses them only by ending, as TCP does; between connections anything
may overtake anything. The broker crashes between apply and durable: what was not durable is lost, with the messages
that waited for it.
"""

import heapq
import random
from collections.abc import Callable
from typing import Any

import msgspec

from scitq import wire
from scitq.broker import events
from scitq.broker.check import check
from scitq.broker.commands import Ask, Gone, Peer, Send, Silent
from scitq.broker.decide import decide
from scitq.model import ENDED, MIB, Changes, Spec
from scitq.wire import Ref
from tests.pure_broker import Decide, PureBroker, dump, refold, replay
from tests.simulation.worker import Means, ModelWorker

BATCHES = ("Default", "blue")
# What tasks ask for: one worker at least has it, most often nothing.
REQUESTS: tuple[dict[str, Any], ...] = (
    *({},) * 6,
    *({"mem": mem * MIB} for mem in (10, 16, 24, 48)),
    *({"cpu": cpu} for cpu in (0.5, 2, 6)),
    *({"gpu": gpu} for gpu in (0.5, 0.5, 1, 2)),
    {"disk": 40 * MIB},
    {"cpu": 3, "mem": 20 * MIB, "gpu": 1},
    {"container": "tiny", "container_options": "--gpus all"},
)
CLIENT = Peer(b"client", "admin", "client")


class Broken(AssertionError):
    """An invariant does not hold."""


class World:
    """All that happens under one seed."""

    def __init__(self, seed: int, *, decide: Decide = decide) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.steps = 0  # things that happened: messages that arrived, orders, faults, looks
        self.crashes = 0
        self.now = 0.0
        self.grace = 30.0
        self.healed = False
        self.measured = self.random.random() < 0.5  # workers say how long a command took; else all seem short
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._decide = decide
        self.broker = PureBroker(decide=decide)
        self.broker.strict = False
        self.durable = len(self.broker.entries)
        self.judged = 0  # entries whose facts were held against what truly happened
        self.waiting: list[tuple[int, Send]] = []  # messages and how many entries must be durable before
        self.connections: dict[int, ModelWorker] = {}
        self.arrives: dict[tuple[int, bool], float] = {}  # the last arrival on a connection, each way
        self.routes: dict[int, int] = {}
        self.heard: dict[int, float] = {}
        self.last_connection = 0
        self.acknowledged: dict[str, tuple[int, int]] = {}
        self.stopped: set[str] = set()
        self.within_slots: set[Ref] = set()  # handed over where slots were free
        self.request = 0
        self.asking: tuple[int, wire.Request] | None = None
        self.workers = [
            ModelWorker(self, "w1", 3, 1, "*", Means(6, 48, 2, 90, "docker 20")),
            ModelWorker(self, "w2", 1, 2, "Default", Means(2, 32, 0, 30)),
            ModelWorker(self, "w3", 2, 0, "*", Means(4, 32, 1, 60), Means(2, 16, 0, 60)),
        ]

    # ------------------------------------------------------------------------ time

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + seconds, self._sequence, what))

    def run(self, until: float) -> None:
        while self._heap and self._heap[0][0] <= until:
            self.now, _, what = heapq.heappop(self._heap)
            self.broker.wall = 1_000 + self.now
            self.broker.monotonic = self.now
            self.steps += 1
            what()
        self.now = until

    def play(self, seconds: float = 120.0) -> None:
        """Chaos for a while, then peace: everything must come to its end."""
        for worker in self.workers:
            self.after(self.random.random(), worker.connect)
        self.after(0.0, self.order)
        self.after(1.0, self.trouble)
        self.after(1.0, self.look)
        self.run(seconds)
        self.healed = True
        self.stopped.clear()
        for worker in self.workers:
            worker.connect()
        for batch in sorted(self.broker.state.batches):
            self._tell(Ask(CLIENT, wire.BatchGo(id=0, batch=batch)))
        for _ in range(30):
            self.run(self.now + 20)
            if not self._unended():
                break
        self._judge()
        self._all_has_ended()

    def flood(self, large: Spec, small: list[Spec], seconds: float = 600.0) -> bool:
        """Whether a large task is begun though small ones never cease to come, more than can be run."""
        self.measured = True
        for worker in self.workers:
            worker.prefetch = 0  # beyond its slots, measured short or ahead, it would be handed over to wait there
            self.after(self.random.random(), worker.connect)
        self.after(1.0, self.look)

        def submit(request: str, *specs: Spec) -> None:
            packed = tuple(msgspec.Raw(wire.pack_spec(spec)) for spec in specs)
            self._tell(Ask(CLIENT, wire.Submit(id=0, request=request, specs=packed)))

        submit("many", *small * 50)
        self.run(30.0)
        task = self.broker.state.tasks.next
        submit("large", large)
        while self.now < 30.0 + seconds and not self.broker.state.tasks.slot(task):
            submit(f"at {self.now}", *self.random.choices(small, k=4))
            self.run(self.now + 1.0)
        return self.broker.state.tasks.slot(task) is not None

    def story(self, last: int | None = None) -> str:
        """What the broker wrote down, a line a fact."""
        lines = [
            f"{entry.at - 1_000:8.3f} {entry.cause}: {fact}" for entry in self.broker.entries for fact in entry.events
        ]
        return "\n".join(lines[-last:] if last else lines)

    # ------------------------------------------------------------------------ the network

    def connect(self, worker: ModelWorker) -> int:
        old = worker.connection
        if self.connections.pop(old, None) is not None:
            self.after(self.random.random(), lambda: self._hung_up(old))
        self.last_connection += 1
        self.connections[self.last_connection] = worker
        return self.last_connection

    def _delay(self, connection: int, *, up: bool) -> float:
        """Seconds until a message arrives, after all that were sent before on the same connection."""
        wished = self.now + self.random.choice([0.001, 0.01, 0.3])
        arrival = max(wished, self.arrives.get((connection, up), 0.0))
        self.arrives[connection, up] = arrival
        return arrival - self.now

    def to_broker(self, connection: int, message: wire.Request) -> None:
        frame = wire.encode(message)
        copies = 2 if isinstance(message, wire.Report) and self.random.random() < 0.1 else 1
        for _ in range(copies):
            self.after(self._delay(connection, up=True), lambda: self._arrived(connection, frame))

    def _arrived(self, connection: int, frame: bytes) -> None:
        worker = self.connections.get(connection)
        if worker is None:
            return
        message = wire.decode_request(frame)
        number = next((number for number, route in self.routes.items() if route == connection), None)
        peer = Peer(str(connection).encode(), "worker", worker.name, number)
        if isinstance(message, wire.Hello):
            self._tell(Ask(peer, message))
            number = self.broker.state.worker_ids[f"id of {worker.name}"]
            self.routes[number] = connection
            self.heard[number] = self.now
            self._settle()
        elif number is not None:
            self.heard[number] = self.now
            if isinstance(message, wire.Report):
                self._keep(self.broker.report(number, message))
                self._settle()
            else:
                self._tell(Ask(peer, message))

    def _hung_up(self, connection: int) -> None:
        for number, route in list(self.routes.items()):
            if route == connection:
                del self.routes[number]
                self._tell(Gone(number))

    def _deliver(self, send: Send) -> None:
        if send.to == CLIENT.route:
            self.after(self.random.choice([0.001, 0.3]), lambda: self._answered(send.message))
            return
        connection = self.routes.get(send.to) if isinstance(send.to, int) else int(send.to)
        worker = self.connections.get(connection or 0)
        if connection is None or worker is None:
            return
        frame = wire.encode(send.message)
        self.after(self._delay(connection, up=False), lambda: self._heard(connection, frame))

    def _heard(self, connection: int, frame: bytes) -> None:
        worker = self.connections.get(connection)
        if worker is not None and worker.connection == connection:
            worker.hear(wire.decode_answer(frame))

    # ------------------------------------------------------------------------ the broker's loop

    def _tell(self, command: Any) -> None:
        self._keep(self.broker.tell(command))
        self._settle()

    def _settle(self) -> None:
        self._keep(self.broker.settle())

    def _keep(self, sends: list[Send]) -> None:
        """Durable before visible: messages wait for all entries that they may have seen."""
        self._judge()
        mark = len(self.broker.entries)
        self.waiting += [(mark, send) for send in sends]
        if mark > self.durable or self.waiting:
            self.after(self.random.choice([0.001, 0.02, 0.2]), lambda: self._synced(mark))

    def _synced(self, mark: int) -> None:
        if mark > len(self.broker.entries):
            return  # of a broker that crashed
        self.durable = max(self.durable, mark)
        ready = [send for needed, send in self.waiting if needed <= self.durable]
        self.waiting = [(needed, send) for needed, send in self.waiting if needed > self.durable]
        for send in ready:
            self._deliver(send)

    def crash(self) -> None:
        """All but the durable is lost; every connection ends."""
        self.crashes += 1
        self._judge()
        if dump(replay(self.broker.entries)) != dump(self.broker.state):
            raise Broken("replay does not equal live")
        del self.broker.entries[self.durable :]
        self.judged = min(self.judged, self.durable)
        self.waiting.clear()
        self.within_slots.clear()
        self.routes.clear()
        self.broker.restart()
        if self.random.random() < 0.3:
            self.broker.state = refold(self.broker.state)
        self.heard = dict.fromkeys(self.broker.state.workers, self.now)
        for request, ids in self.acknowledged.items():
            if self.broker.state.requests.get(request) != ids:
                raise Broken(f"{request} was acknowledged as {ids} and is not known any more")
        for worker in self.workers:
            self.connections.pop(worker.connection, None)
            self.after(self.random.choice([0.1, 3, 40]), worker.connect)

    def look(self) -> None:
        """What the loop does by its own clock."""
        self.after(1.0, self.look)
        for number, heard in list(self.heard.items()):
            if self.now - heard > self.grace:
                del self.heard[number]
                self._tell(Silent(number))
        self._settle()

    # ------------------------------------------------------------------------ chance

    def trouble(self) -> None:
        """Something breaks."""
        if self.healed:
            return
        self.after(self.random.expovariate(1 / 6), self.trouble)
        worker = self.random.choice(self.workers)
        match self.random.choice(["broker", "agent", "machine", "line", "line", "away"]):
            case "broker":
                self.crash()
            case "agent":
                worker.restart()
            case "machine":
                worker.die()
            case "line":
                worker.connect()
            case "away":
                worker.joined = False
                old = worker.connection
                self.connections.pop(old, None)
                self.after(1.0, lambda: self._hung_up(old))
                worker.heard_at = max(worker.heard_at, self.now + self.random.choice([0, 20]))
                worker.heard_at = min(worker.heard_at, self.now)

    def order(self) -> None:
        """The client asks for something, and for it again until it is answered."""
        if self.healed:
            return
        self.request += 1
        self.asking = (self.request, self._wish())
        self._ask(self.request)

    def _wish(self) -> wire.Request:
        chance, number = self.random, self.request
        batch = chance.choice(BATCHES)
        known = self.broker.state.tasks.next
        some = wire.Select(ids=tuple(sorted({chance.randrange(1, known) for _ in range(3)}))) if known > 1 else None
        acknowledged = [task for first, count in self.acknowledged.values() for task in range(first, first + count)]
        kind = chance.choice(["submit", "submit", "cancel", "stop", "go", "go", "relaunch", "update"])
        if kind == "stop" and batch in self.broker.state.batches:
            return wire.BatchStop(id=number, batch=batch, how=chance.choice(["stop", "suspend", "terminate", "kill"]))
        if kind == "go" and batch in self.broker.state.batches:
            self.stopped.discard(batch)
            return wire.BatchGo(id=number, batch=batch)
        if some is not None and kind == "cancel":
            return wire.Cancel(id=number, select=some)
        if some is not None and kind == "relaunch":
            return wire.Relaunch(id=number, select=wire.Select(status=("failed", "cancelled")))
        if some is not None and kind == "update":
            changes = Changes(command=("edited", str(number)))
            earlier = [task for task in acknowledged if task < min(some.ids or (0,))]
            if earlier and chance.random() < 0.3:
                changes = Changes(requires=(chance.choice(earlier),))
            elif chance.random() < 0.4:
                changes = Changes(mem=chance.choice([None, 12 * MIB, 40 * MIB]), cpu=chance.choice([None, 3]))
            return wire.Update(id=number, select=some, changes=changes)
        specs = [
            Spec(
                command=("true",),
                batch=batch,
                retry=chance.randrange(3),
                priority=chance.randrange(2),
                output=chance.choice(["", "/data/out"]),
                requires=tuple(chance.sample(acknowledged, min(len(acknowledged), chance.choice([0, 0, 2])))),
                **chance.choice(REQUESTS),
            )
            for _ in range(chance.randrange(1, 4))
        ]
        packed = tuple(msgspec.Raw(wire.pack_spec(spec)) for spec in specs)
        return wire.Submit(id=number, request=f"r{number}", specs=packed)

    def _ask(self, number: int) -> None:
        if self.asking is None or self.asking[0] != number or self.healed:
            return
        message = self.asking[1]
        if self.random.random() < 0.8:
            self._tell(Ask(CLIENT, message))
        self.after(5.0, lambda: self._ask(number))

    def _answered(self, message: wire.Answer) -> None:
        if self.asking is None or getattr(message, "id", 0) != self.asking[0]:
            return
        asked = self.asking[1]
        self.asking = None
        if isinstance(message, wire.Submitted) and isinstance(asked, wire.Submit):
            self.acknowledged[asked.request] = (message.first, message.count)
        whole = isinstance(message, wire.Done) and not message.missing
        if whole and isinstance(asked, wire.BatchStop) and not self.healed:
            self.stopped.add(asked.batch)
        self.after(self.random.expovariate(1 / 2), self.order)

    # ------------------------------------------------------------------------ what must hold

    def started(self, worker: ModelWorker, ref: Ref) -> None:
        """A command was started: not in a stopped batch, not twice the same attempt."""
        state = self.broker.state
        if ref.task in state.tasks and state.batch_of(ref.task) in self.stopped:
            raise Broken(f"{ref} was started on {worker.name} after its batch was said to be stopped")
        if ref in worker.ended:
            raise Broken(f"{ref} was started twice on {worker.name}")

    def overloaded(self, worker: ModelWorker, ref: Ref, running: list[Spec]) -> None:
        """A task was given within the slots, and what it asks for is not free."""
        raise Broken(f"{ref} was given to {worker.name} within its slots, beside {running}")

    def _judge(self) -> None:
        """Hold every new fact against what truly happened."""
        state = self.broker.state
        names = {number: worker.name for number, worker in state.workers.items()}
        for entry in self.broker.entries[self.judged :]:
            for fact in entry.events:
                if isinstance(fact, events.Ended) and fact.result.status != 1:
                    result = fact.result
                    worker = next(w for w in self.workers if w.name == names[result.worker])
                    truth = worker.ended.get(Ref(fact.task, result.attempt, result.epoch))
                    if truth != events.RESULTS[result.status] and events.CLASSES[result.class_] != "lost":
                        raise Broken(f"{fact} is believed; on {worker.name} it {truth}")
                if isinstance(fact, events.Assigned):
                    held = state.workers[fact.worker]
                    if held.busy > held.concurrency + held.ahead:
                        raise Broken(f"{held.name} was handed more than its room")
                    for task in fact.tasks:
                        live = held.held.get(task)
                        if held.busy <= held.concurrency and live is not None and live.held is not None:
                            self.within_slots.add(Ref(task, live.held.attempt, live.held.epoch))
                        parents = state.tasks.spec(task).requires
                        if any(state.status_of(parent) != "succeeded" for parent in parents):
                            raise Broken(f"task {task} was handed over before what it requires had succeeded")
        self.judged = len(self.broker.entries)
        broken = check(state)
        if broken:
            raise Broken("; ".join(broken))

    def _unended(self) -> list[int]:
        """All but the ended, and those that wait for what did not succeed."""
        state = self.broker.state
        return [task for task in state.tasks.ids() if state.status_of(task) not in (*ENDED, "waiting")]

    def _all_has_ended(self) -> None:
        state = self.broker.state
        for request, ids in self.acknowledged.items():
            if state.requests.get(request) != ids:
                raise Broken(f"{request} was acknowledged as {ids} and is not known any more")
        for task in self._unended():
            slot: Any = state.tasks.slot(task)
            story = str(slot) if slot else "untouched"
            raise Broken(f"task {task} is {state.status_of(task)} for ever: {story}")
        if dump(replay(self.broker.entries)) != dump(state):
            raise Broken("replay does not equal live")
