"""What workers report. A result is believed only if it names the current attempt on that worker."""

from scitq import wire
from scitq.broker import events
from scitq.broker.commands import Decision, Mark, Reported
from scitq.broker.intervals import runs_of
from scitq.broker.rules.attempts import (
    answer_kept,
    answer_returned,
    ended,
    is_current,
    set_aside,
    standby_of,
)
from scitq.broker.state import State
from scitq.broker.tasks import Held, Live, LogEnd, Returning, unpack_end
from scitq.model import Stream
from scitq.wire import LogMark, Ref, StreamName

NEARLY_FULL = "no more of it was taken: the broker's disk was nearly full"
STREAMS: tuple[StreamName, StreamName] = ("stdout", "stderr")
FORWARD = {"assigned": 0, "staging": 1, "returning": 1, "running": 2, "uploading": 3}


def report(state: State, command: Reported, now: float, decision: Decision) -> None:
    """Carry a report into facts; whatever is stale is told to stop or to forget."""
    number = command.peer.worker
    if number is None or number not in state.workers or state.workers[number].status == "lost":
        return  # it will say hello again, when it hears nothing
    reading = _Reading(state, number, command, now, decision)
    reading.logs()
    reading.phases()
    reading.answers()
    reading.confirmations()
    reading.ends()
    reading.reply()


class _Reading:
    """One report on its way into facts."""

    def __init__(self, state: State, worker: int, command: Reported, now: float, decision: Decision) -> None:
        self.state = state
        self.worker = worker
        self.report = command.report
        self.full = command.full
        self.now = now
        self.decision = decision
        self.marks: dict[tuple[int, int], list[Mark]] = {}
        for mark in command.marks:
            self.marks.setdefault((mark.task, mark.stream), []).append(mark)
        self.refused: set[tuple[int, int]] = set()
        self.phase: dict[int, str] = {}  # what this report itself has moved
        self.over: set[int] = set()
        self.stale: dict[Ref, None] = {}
        self.acks: list[Ref] = []
        self.wanted: list[LogMark] = []

    def current(self, ref: Ref) -> Live | None:
        """The live task, if this attempt on this worker is its present one."""
        if ref.task not in self.state.tasks or ref.task in self.over:
            return None
        slot = self.state.tasks.slot(ref.task)
        return slot if type(slot) is Live and is_current(slot, ref, self.worker) else None

    def stands_by(self, ref: Ref) -> bool:
        """Whether the attempt waits for another worker's answer to be current again."""
        slot = self.state.tasks.slot(ref.task) if ref.task in self.state.tasks else None
        standby = standby_of(slot) if type(slot) is Live else None
        return standby is not None and (standby.attempt, standby.epoch, standby.worker) == (
            ref.attempt,
            ref.epoch,
            self.worker,
        )

    def logs(self) -> None:
        """Output that was put into the log store becomes a fact; so does that no more of a stream is taken."""
        if self.marks:
            self.decision.fact(events.LogKept(tuple(mark for marks in self.marks.values() for mark in marks)))
        if not self.full:
            return
        for chunk in self.report.chunks:
            if not chunk.live:
                self._refuse(chunk.ref, STREAMS.index(chunk.stream), chunk.offset + len(chunk.data))
        for end in self.report.ends:
            for stream, told in enumerate((end.outcome.stdout, end.outcome.stderr)):
                self._refuse(end.ref, stream, told.total)

    def _refuse(self, ref: Ref, stream: int, upto: int) -> None:
        live = self.current(ref)
        if live is None or (live.id, stream) in self.refused:
            return
        log = live.logs.get(stream, LogEnd())
        if log.next < upto and not log.refused:
            self.refused.add((live.id, stream))
            self.decision.fact(events.LogRefused(live.id, stream, NEARLY_FULL))

    def phases(self) -> None:
        """Attempts that entered a phase; one asked back that has started is kept."""
        entered: dict[str, tuple[list[int], list[float]]] = {}
        for started in self.report.started:
            live = self.current(started.ref)
            if live is None:
                if not self.stands_by(started.ref):
                    self.stale[started.ref] = None
                continue
            before = self.phase.get(live.id, live.place.status)
            if FORWARD[started.phase] <= FORWARD[before]:
                continue
            if isinstance(live.place, Returning) and started.phase != "staging" and live.id not in self.phase:
                answer_kept(self.state, live, started.at, self.decision)
                self.phase[live.id] = "running"
                if started.phase == "running":
                    continue
            self.phase[live.id] = started.phase
            tasks, times = entered.setdefault(started.phase, ([], []))
            tasks.append(live.id)
            times.append(started.at)
        for phase in ("staging", "running", "uploading"):
            if phase in entered:
                tasks, times = entered[phase]
                self.decision.fact(events.Entered(phase, tuple(tasks), tuple(times)))

    def answers(self) -> None:
        """What was asked back: given back, or kept because it had started."""
        for ref in self.report.returned:
            live = self.current(ref)
            if live is not None and self.phase.get(live.id, "staging") == "staging":
                answer_returned(self.state, live, self.decision)
                self.over.add(live.id)
        for ref in self.report.kept:
            live = self.current(ref)
            if live is not None and live.id not in self.phase:
                answer_kept(self.state, live, self.now, self.decision)
                self.phase[live.id] = "running"

    def confirmations(self) -> None:
        """Which uploads may begin, or count."""
        good = tuple(ref for ref in self.report.confirm if self.current(ref) is not None)
        if good:
            self.decision.send(self.worker, wire.Confirmed(tasks=good))
        for ref in self.report.confirm:
            if ref not in good and not self.stands_by(ref):
                self.stale[ref] = None

    def ends(self) -> None:
        """Ends of current attempts whose output is complete; what is stale may be forgotten."""
        for end in self.report.ends:
            live = self.current(end.ref)
            if live is None:
                if not self.stands_by(end.ref):
                    if 0 < end.ref.epoch < self.state.epoch and end.ref not in self.acks and not self._known(end.ref):
                        self.decision.fact(set_aside(self.worker, end))
                    self.acks.append(end.ref)
                    self.stale.pop(end.ref, None)
                continue
            logs = self._logs_of(live)
            missing = [
                LogMark(end.ref, STREAMS[stream], logs.get(stream, LogEnd()).next)
                for stream, told in enumerate((end.outcome.stdout, end.outcome.stderr))
                if not _complete(logs.get(stream, LogEnd()), told)
            ]
            if missing:
                self.wanted += missing
                continue
            held = live.held
            assert isinstance(held, Held)
            standby = standby_of(live)
            if standby is not None and live.id not in self.phase:  # else `answer_kept` has said so
                ref = Ref(live.id, standby.attempt, standby.epoch)
                self.decision.send(standby.worker, wire.Halt(tasks=(ref,)))
            fact = ended(self.state, live, held, end, logs)
            self.decision.fact(fact)
            if fact.again and isinstance(live.place, Returning) and live.place.changes is not None:
                self.decision.fact(events.Edited(runs_of([live.id]), live.place.changes))
            self.over.add(live.id)
            self.acks.append(end.ref)

    def _known(self, ref: Ref) -> bool:
        """Whether the books hold an end of this attempt."""
        for aside in self.state.set_aside:
            if (aside.task, aside.result.attempt, aside.result.epoch) == (ref.task, ref.attempt, ref.epoch):
                return True
        if ref.task not in self.state.tasks:
            return False
        slot = self.state.tasks.slot(ref.task)
        past = slot.past if type(slot) is Live else unpack_end(slot).past if type(slot) is bytes else ()
        return any((result.attempt, result.epoch) == (ref.attempt, ref.epoch) for result in past)

    def _logs_of(self, live: Live) -> dict[int, LogEnd]:
        logs = dict(live.logs)
        for stream in (0, 1):
            for mark in self.marks.get((live.id, stream), ()):
                logs[stream] = logs.get(stream, LogEnd()).kept(mark.next, mark.pointer, mark.tail)
            if (live.id, stream) in self.refused:
                logs[stream] = logs.get(stream, LogEnd())._replace(refused=NEARLY_FULL)
        return logs

    def reply(self) -> None:
        """Acknowledge; tell what is not believed any more to stop."""
        marks = []
        refused = []
        for (task, stream), kept in self.marks.items():
            slot = self.state.tasks.slot(task)
            if type(slot) is Live and slot.held is not None:
                ref = Ref(task, slot.held.attempt, slot.held.epoch)
                marks.append(LogMark(ref, STREAMS[stream], kept[-1].next))
        for ref in {chunk.ref for chunk in self.report.chunks}:
            live = self.current(ref)
            if live is None:
                if ref not in self.acks and not self.stands_by(ref) and ref.task not in self.over:
                    self.stale[ref] = None
                continue
            logs = self._logs_of(live)
            refused += [LogMark(ref, STREAMS[stream], log.next) for stream, log in logs.items() if log.refused]
            self.wanted += self._gaps(live, ref)
        if marks or refused or self.acks or self.wanted:
            self.decision.send(
                self.worker,
                wire.Ack(ends=tuple(self.acks), logs=tuple(marks), wanted=tuple(self.wanted), refused=tuple(refused)),
            )
        stale = tuple(ref for ref in self.stale if ref not in self.acks)
        if stale:
            self.decision.send(self.worker, wire.Halt(tasks=stale))

    def _gaps(self, live: Live, ref: Ref) -> list[LogMark]:
        """Streams of which a chunk came that does not join on: wanted from where we are."""
        logs = self._logs_of(live)
        asked = {(mark.ref, mark.stream) for mark in self.wanted}
        gaps = []
        for chunk in self.report.chunks:
            if chunk.ref != ref or chunk.live or (ref, chunk.stream) in asked:
                continue
            log = logs.get(STREAMS.index(chunk.stream), LogEnd())
            if chunk.offset + len(chunk.data) > log.next and not log.refused:
                gaps.append(LogMark(ref, chunk.stream, log.next))
                asked.add((ref, chunk.stream))
        return gaps


def _complete(log: LogEnd, told: Stream) -> bool:
    """Whether all that its worker keeps of the stream is here, or nothing more of it is accepted."""
    kept = told.total if told.tail < told.total else told.head  # without a tail the head is all there is
    return bool(log.refused) or log.next >= kept
