"""A scenario reads like a conversation: what is said to the broker, and all that it answers (`->`, `=`).

Sentences are matched by the table at the end; `1.2` is attempt 2 of task 1, `1` the attempt last handed to whoever
speaks. After each sentence waiting tasks are placed, and whatever holds of every state is checked.
"""

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from scitq import wire
from scitq.broker import events
from scitq.broker.commands import DropParts, Gone, Peer, Send, Silent
from scitq.broker.rules.reads import log_of, task_view
from scitq.model import Array, Changes, Gpu, Outcome, Range, Spec, Stream
from scitq.wire import Chunk, Ref, Started
from tests.pure_broker import PureBroker, dump, refold, replay

GIB = 2**30
PHASES = ("staging", "running", "uploading")


class Conversation:
    """One scenario being played."""

    def __init__(self) -> None:
        self.broker = PureBroker()
        self.peers: dict[str, Peer] = {}
        self.labels: dict[bytes, str] = {}
        self.attempts: dict[tuple[str, int], Ref] = {}
        self.tasks: dict[str, Ref] = {}
        self.requests = 0
        self.asked: dict[int, str] = {}

    # ------------------------------------------------------------------------ playing

    def play(self, line: str) -> Iterator[str]:
        """Say one sentence; yields all that is answered."""
        for pattern, method in _SENTENCES:
            found = re.fullmatch(pattern, line)
            if found:
                said = method(self, **{key: value or "" for key, value in found.groupdict().items()})
                break
        else:
            raise ValueError(f"nobody understands: {line}")
        if isinstance(said, list) and all(isinstance(send, Send) for send in said):
            said = said + self.broker.settle()
            yield from (line for send in said for line in self._said(send))
            self._prove()
        else:
            yield from said

    def _prove(self) -> None:
        """Replay of the journal, and of the snapshot, give the state that is."""
        live = dump(self.broker.state)
        assert dump(replay(self.broker.entries)) == live
        assert dump(refold(self.broker.state)) == live

    def peer(self, label: str, role: str = "admin") -> Peer:
        peer = self.peers.get(label)
        if peer is None:
            peer = self.peers[label] = Peer(label.encode(), role, label)
            self.labels[peer.route] = label
        return peer

    def worker(self, label: str) -> int:
        number = self.peers[label].worker
        assert number is not None, f"{label} is no worker"
        return number

    def next_id(self) -> int:
        self.requests += 1
        return self.requests

    def ref(self, text: str, label: str = "") -> Ref:
        task, _, rest = text.partition(".")
        if not rest:
            return self.attempts[label, int(task)]
        attempt, _, epoch = rest.partition("@")
        return Ref(int(task), int(attempt), int(epoch or self.broker.state.epoch))

    # ------------------------------------------------------------------------ what the broker says

    def _said(self, send: Send) -> Iterator[str]:
        to = send.to
        if isinstance(to, int):
            to = next((peer.route for peer in self.peers.values() if peer.worker == to), f"nobody ({to})".encode())
        label = self.labels.get(to, to.decode())
        message = send.message
        if isinstance(message, wire.Assign):
            for assignment in message.tasks:
                self.attempts[label, assignment.ref.task] = assignment.ref
        for text in _words(message):
            yield f"-> {label}: {text}".rstrip()

    # ------------------------------------------------------------------------ sentences of workers

    def joins(
        self,
        label: str,
        name: str,
        slots: str,
        prefetch: str,
        batch: str,
        having: str,
        holding: str,
        mesh: str,
        key: str,
    ) -> list[Send]:
        peer = self.peer(label, "worker")
        held = []
        for item in filter(None, holding.split(", ")):
            what, phase = item.split(" ")
            held.append(wire.Held(ref=self.ref(what, label), phase=phase))  # type: ignore[arg-type]
        means = _options(having)
        enrol = wire.Enrolment(
            worker=label,
            name=name or label,
            mesh=mesh,
            batch=batch or "Default",
            concurrency=int(slots or 1),
            prefetch=int(prefetch or 0),
            hostname="host",
            cpus=int(means.get("cpus", 4)),
            memory=means.get("mem", 8),
            boot="boot",
            engine=means.get("engine", ""),
            gpus=(Gpu("T4", 16 * GIB),) * int(means.get("gpus", 0)),
            disk=means.get("disk", 0),
            held=tuple(held),
        )
        if peer.role == "worker":
            peer = peer._replace(name=key or name or label)
        sends = self.broker.ask(wire.Hello(id=self.next_id(), protocol=1, enrol=enrol), peer)
        number = self.broker.state.worker_ids.get(label)
        if not any(isinstance(send.message, wire.Error) for send in sends):
            self.peers[label] = peer._replace(worker=number)
        return sends

    def reports(self, label: str, rest: str) -> list[Send]:
        report: dict[str, list[Any]] = {}
        for item in rest.split(", "):
            key, part = self._part(label, item)
            report.setdefault(key, []).append(part)
        message = wire.Report(**{key: tuple(parts) for key, parts in report.items()})
        return self.broker.report(self.worker(label), message)

    def _part(self, label: str, item: str) -> tuple[str, Any]:
        what, verb, *more = shlex.split(item)
        ref = self.ref(what, label)
        if verb in PHASES:
            return "started", Started(ref, verb, self.broker.wall)  # type: ignore[arg-type]
        if verb in ("returned", "kept", "confirm"):
            return verb, ref
        if verb in ("stdout", "stderr"):
            offset, text, *flags = more
            live, skip = "live" in flags, "tail" in flags
            return "chunks", Chunk(ref, verb, int(offset), text.encode(), live=live, skip=skip)  # type: ignore[arg-type]
        assert verb in ("succeeded", "failed", "cancelled"), item
        options = dict(option.split("=") for option in more)
        stream = Stream(int(options.get("stdout", 0)), 0, 0)
        outcome = Outcome(
            status=verb,  # type: ignore[arg-type]
            class_=options.get("class", {"failed": "exit", "cancelled": "cancelled"}.get(verb, "")),  # type: ignore[arg-type]
            exit_code=int(options.get("exit", {"failed": 1, "succeeded": 0}.get(verb, 137))),
            reason=options.get("reason", ""),
            run_seconds=float(options.get("seconds", 60)),
            stdout=stream,
        )
        inline = options.get("said", "").encode()
        return "ends", wire.End(ref, outcome, self.broker.wall, self.broker.wall + 1, inline)

    def tells(self, label: str, what: str) -> list[Send]:
        if what == "is silent":
            return self.broker.tell(Silent(self.worker(label)))
        if what == "is gone":
            return self.broker.tell(Gone(self.worker(label)))
        message = wire.Bye() if what == "says bye" else wire.Beat()
        return self.broker.ask(message, self.peers[label])

    # ------------------------------------------------------------------------ sentences of clients

    def becomes(self, label: str, role: str) -> list[Send]:
        self.peers[label] = self.peer(label)._replace(role=role)
        return []

    def submits(self, label: str, count: str, command: str, options: str, request: str, part: str) -> list[Send]:
        fields = _options(options)
        spec = Spec(command=tuple(shlex.split(command)), **fields)
        self.requests += 1
        return self._submit(
            label,
            request=request or f"request {self.requests}",
            part=int(part or 0),
            last=not part,
            specs=(msgspec.Raw(wire.pack_spec(spec)),) * int(count),
        )

    def closes(self, label: str, request: str) -> list[Send]:
        return self._submit(label, request=request)

    def submits_array(self, label: str, count: str, command: str, name: str, values: str) -> list[Send]:
        template = Spec(command=tuple(shlex.split(command)))
        first, dots, _ = values.partition("..")
        column: Any = Range(int(first), 1) if dots else tuple(values.split(","))
        array = Array(template=template, count=int(count), columns={name: column})
        return self._submit(label, request=f"request {self.requests}", array=array)

    def _submit(self, label: str, **fields: Any) -> list[Send]:
        return self.broker.ask(wire.Submit(id=self.next_id(), **fields), self.peer(label))

    def orders(self, label: str, verb: str, what: str, options: str, force: str) -> list[Send]:
        select = _select(what)
        fields: dict[str, Any] = {"force": True} if force else {}
        if verb in ("relaunches", "updates"):
            fields["changes"] = Changes(**_options(options))
        kind = {"cancels": wire.Cancel, "relaunches": wire.Relaunch, "updates": wire.Update, "deletes": wire.Delete}
        message = kind[verb](id=self.next_id(), select=select, **fields)
        return self.broker.ask(message, self.peer(label))

    def stops(self, label: str, batch: str, how: str) -> list[Send]:
        message = wire.BatchStop(id=self.next_id(), batch=batch, how=how or "stop")  # type: ignore[arg-type]
        return self.broker.ask(message, self.peer(label))

    def goes(self, label: str, batch: str) -> list[Send]:
        return self.broker.ask(wire.BatchGo(id=self.next_id(), batch=batch), self.peer(label))

    def deletes_batch(self, label: str, batch: str, force: str) -> list[Send]:
        return self.broker.ask(wire.BatchDelete(id=self.next_id(), batch=batch, force=bool(force)), self.peer(label))

    def changes_worker(self, label: str, worker: str, options: str) -> list[Send]:
        message = wire.WorkerUpdate(id=self.next_id(), worker=worker, **_options(options))
        return self.broker.ask(message, self.peer(label))

    def deletes_worker(self, label: str, worker: str, force: str) -> list[Send]:
        message = wire.WorkerDelete(id=self.next_id(), worker=worker, force=bool(force))
        return self.broker.ask(message, self.peer(label))

    def explains(self, label: str, kind: str, what: str) -> list[Send]:
        if kind == "batch":
            return self.broker.ask(wire.Explain(id=self.next_id(), batch=what), self.peer(label))
        return self.broker.ask(wire.Explain(id=self.next_id(), task=int(what)), self.peer(label))

    def says_hello(self, label: str, protocol: str) -> list[Send]:
        return self.broker.ask(wire.Hello(id=self.next_id(), protocol=int(protocol or 1)), self.peer(label))

    # ------------------------------------------------------------------------ what happens, and questions

    def passes(self, seconds: str) -> list[Send]:
        self.broker.monotonic += float(seconds)
        self.broker.wall += float(seconds)
        return []

    def drops_parts(self) -> list[Send]:
        return self.broker.tell(DropParts(self.broker.wall - 86_400))

    def restarts(self) -> list[Send]:
        self.broker.restart()
        return []

    def fills(self, full: str) -> list[Send]:
        self.broker.full = full == "is nearly full"
        return []

    def epoch(self) -> list[Send]:
        self.broker.record(events.EpochRaised(self.broker.state.epoch + 1))
        return []

    def tasks_are(self) -> Iterator[str]:
        state = self.broker.state
        for task in state.tasks.ids():
            view = task_view(state, task)
            text = f"= {task} {view.status}"
            if view.attempt:
                text += f" (attempt {view.attempt}{f' on {view.worker}' if view.worker else ''})"
            if view.class_:
                text += f" {view.class_}"
            yield text + (f": {view.reason}" if view.reason else "")

    def output_of(self, task: str) -> Iterator[str]:
        attempt, log, over = log_of(self.broker.state, int(task), 0, 0)
        text = self.broker.books.text(log.pointer).decode()
        yield (
            f"= attempt {attempt}: {text!r}, {log.total} bytes, kept to {log.head} and from {log.tail}"
            f"{', over' if over else ''}{f' ({log.note})' if log.note else ''}"
        )

    def workers_are(self) -> Iterator[str]:
        for worker in self.broker.state.workers.values():
            held = ", ".join(f"{task} {live.place.status}" for task, live in worker.held.items())
            paused = ", paused" if worker.paused else ""
            yield f"= {worker.name} {worker.status}{paused}, {worker.concurrency} slots: {held or 'nothing'}"


def _options(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for word in shlex.split(text):
        key, value = word.split("=", 1)
        fields[key] = _value(key, value)
    return fields


def _value(key: str, value: str) -> Any:
    match key:
        case "command":
            return tuple(shlex.split(value))
        case "requires":
            return tuple(int(task) for task in value.split(","))
        case "inputs" | "resources":
            return tuple(value.split(","))
        case "retry" | "priority" | "concurrency" | "prefetch" | "log_limit":
            return int(value)
        case "run_timeout" | "download_timeout" | "cpu" | "gpu":
            return float(value) if value != "none" else None
        case "mem" | "disk":
            return int(value.removesuffix("G")) * GIB if value != "none" else None
        case "paused":
            return value == "yes"
    return value


def _select(what: str) -> wire.Select:
    if what.startswith("batch "):
        return wire.Select(batch=what.removeprefix("batch "))
    if what.startswith("all "):
        return wire.Select(status=(what.removeprefix("all "),))
    return wire.Select(ids=tuple(int(task) for task in what.split()))


def _refs(refs: Any) -> str:
    return " ".join(f"{ref.task}.{ref.attempt}{f'@{ref.epoch}' if ref.epoch > 1 else ''}" for ref in refs)


def _words(message: wire.Answer) -> Iterator[str]:
    match message:
        case wire.Error(error=error):
            yield f"error {error['code']}: {error['message']}"
        case wire.Welcome(worker=worker) if worker:
            yield f"welcome as {worker}, {message.concurrency} slots, {message.prefetch} ahead"
            for verdict in message.verdicts:
                yield f"{verdict.do} {_refs([verdict.ref])}"
            if message.suspended:
                yield f"suspended are {_refs(message.suspended)}"
        case wire.Welcome():
            yield f"welcome, {message.role}"
        case wire.Assign(tasks=tasks):
            commands = {wire.unpack_spec(task.spec).command for task in tasks}
            texts = sorted(" ".join(word if isinstance(word, str) else repr(word) for word in c) for c in commands)
            yield f"assign {_refs(task.ref for task in tasks)} ({', '.join(texts)})"
        case wire.Halt(tasks=tasks):
            yield f"{'terminate' if message.terminate else 'halt'} {_refs(tasks)}"
        case wire.Recall(tasks=tasks) | wire.Suspend(tasks=tasks) | wire.Resume(tasks=tasks):
            yield f"{type(message).__name__.lower()} {_refs(tasks)}"
        case wire.Confirmed(tasks=tasks):
            yield f"confirmed {_refs(tasks)}"
        case wire.Settings():
            yield f"settings {message.concurrency} slots, {message.prefetch} ahead"
        case wire.Ack():
            yield from _ack(message)
        case wire.Submitted():
            yield f"submitted {message.first} to {message.first + message.count - 1}"
            yield from (f"warning: {line}" for line in message.warnings)
        case wire.PartKept():
            yield f"part {message.part} kept"
        case wire.Done():
            yield f"done {message.count}" + (f", missing {' '.join(message.missing)}" if message.missing else "")
            yield from (f"skipped {skip.task}: {skip.reason}" for skip in message.skipped)
        case wire.Explained(lines=lines):
            yield from lines
        case wire.Dismissed(reason=reason):
            yield f"dismissed: {reason}"
        case _:
            yield repr(message)


def _ack(ack: wire.Ack) -> Iterator[str]:
    if ack.ends:
        yield f"ends of {_refs(ack.ends)} known"
    for name in ("logs", "wanted", "refused"):
        for mark in getattr(ack, name):
            verb = {"logs": "kept", "wanted": "wanted from", "refused": "refused past"}[name]
            yield f"{mark.stream} of {_refs([mark.ref])} {verb} {mark.offset}"
    if not (ack.ends or ack.logs or ack.wanted or ack.refused):
        yield "ack"


_WHO = r"(?P<label>\S+)"
_FORCE = r"(?P<force> by force)?"
_SENTENCES: tuple[tuple[str, Callable[..., Any]], ...] = (
    (
        (
            rf"worker {_WHO} joins(?: as (?P<name>\S+))?(?: by the key of (?P<key>\S+))?"
            r"(?: with (?P<slots>\d+) slots?)?(?: and (?P<prefetch>\d+) ahead)?"
            r"(?: for batch (?P<batch>\S+))?(?: of mesh (?P<mesh>\S+))?(?: having (?P<having>(?:\w+=\S+ ?)+?))?"
            r"(?: holding (?P<holding>.+))?"
        ),
        Conversation.joins,
    ),
    (rf"{_WHO} reports (?P<rest>.+)", Conversation.reports),
    (rf"{_WHO} (?P<what>is silent|is gone|says bye|beats)", Conversation.tells),
    (rf"{_WHO} is an? (?P<role>admin|user|worker|deployer)", Conversation.becomes),
    (
        rf"{_WHO} submits an array of (?P<count>\S+) x (?P<command>.+?) with (?P<name>\w+)=(?P<values>\S+)",
        Conversation.submits_array,
    ),
    (
        (
            rf"{_WHO} submits(?: part (?P<part>\d+) of)?(?: (?P<request>\S+):)? (?P<count>\d+) x (?P<command>.*?)"
            r"(?: with (?P<options>.+))?"
        ),
        Conversation.submits,
    ),
    (rf"{_WHO} closes (?P<request>\S+)", Conversation.closes),
    (rf"{_WHO} stops batch (?P<batch>\S+)(?: by (?P<how>\w+))?", Conversation.stops),
    (rf"{_WHO} starts batch (?P<batch>\S+)", Conversation.goes),
    (rf"{_WHO} deletes batch (?P<batch>\S+){_FORCE}", Conversation.deletes_batch),
    (rf"{_WHO} updates worker (?P<worker>\S+) with (?P<options>.+)", Conversation.changes_worker),
    (rf"{_WHO} deletes worker (?P<worker>\S+){_FORCE}", Conversation.deletes_worker),
    (rf"{_WHO} explains (?P<kind>task|batch) (?P<what>\S+)", Conversation.explains),
    (
        (
            rf"{_WHO} (?P<verb>cancels|relaunches|updates|deletes) (?P<what>batch \S+|all \S+|[\d ]+?)"
            rf"(?: with (?P<options>.+))?{_FORCE}"
        ),
        Conversation.orders,
    ),
    (rf"{_WHO} says hello(?: in protocol (?P<protocol>\d+))?", Conversation.says_hello),
    (r"(?P<seconds>\d+) seconds pass", Conversation.passes),
    (r"old parts are dropped", Conversation.drops_parts),
    (r"the broker restarts", Conversation.restarts),
    (r"the disk (?P<full>is nearly full|has room again)", Conversation.fills),
    (r"the epoch is raised", Conversation.epoch),
    (r"tasks\?", Conversation.tasks_are),
    (r"workers\?", Conversation.workers_are),
    (r"output of (?P<task>\d+)\?", Conversation.output_of),
)
