"""Client: every request of the wire as a method."""

import math
import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar

import msgspec
import zmq

from scitq import config, wire
from scitq.client import specs
from scitq.client.connection import Call, Connection, expect
from scitq.client.follow import ended, follow_to_ends, followed_changes, followed_output, kept_output
from scitq.client.specs import Ids, TaskLike, Text
from scitq.config import AccessFile, Server
from scitq.errors import NotFound, Unavailable, UsageError
from scitq.model import ENDED, Access, Attempt, Batch, Changes, Registry, Resource, Spec, Task, Worker

ON_THE_WAY = ("assigned", "staging", "uploading")  # tasks that their workers may have progress to tell of
_PROGRESS_S = 2.0  # that a worker may take to answer
_PARTS_UNDER_WAY = 4  # of a submit, not yet answered: the broker keeps one while the next are packed

Selected: TypeAlias = Ids | wire.Select
How = Literal["stop", "suspend", "terminate", "kill"]
P = TypeVar("P", wire.TaskPage, wire.AttemptPage, wire.BatchPage, wire.WorkerPage)


class Client:
    """A connection to one broker, for one thread; a context manager.

    `server` is a name or an address (see `scitq.config.resolve`) or a Server; without one: what is configured, or
    the local mesh. `timeout`: seconds until a broker that is not there raises NoServer. `notice` is given lines for
    the user (warnings of a submit, a broker that went away); by default they are Python warnings. What can go wrong
    is a ScitqError of `scitq.errors`. A lost connection is made anew; requests and subscriptions go on.
    """

    def __init__(
        self,
        server: str | Server | None = None,
        *,
        access: str | os.PathLike[str] | None = None,
        timeout: float = 2.5,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self.server = server if isinstance(server, Server) else config.resolve(server, access=access)
        if self.server.local:
            _check_socket(self.server.address)
        self._notice = notice or _warn
        self._link = Connection(self.server, timeout, self._notice)

    def close(self) -> None:
        """Hang up."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------ submit

    def submit(self, command: Iterable[Text], *, request_id: str = "", **options: Any) -> int:
        """Queue one task and return its id; `options` are the fields of `model.Spec`."""
        task = specs.build(Spec, {"command": command, **options})
        return self.submit_many([task], request_id=request_id)[0]

    def submit_many(self, tasks: Iterable[TaskLike], *, request_id: str = "") -> range:
        """Queue tasks, all or none, and return their ids.

        Each is a `model.Spec`, a mapping of its fields, or the words of its command. The same `request_id` again
        returns the same ids: a caller who may have to repeat itself gives its own.
        """
        request = request_id or _fresh()
        answer: wire.Message | None = None
        under_way: deque[Call] = deque()
        try:
            for part, (packed, last) in enumerate(specs.parts(tasks)):
                message = wire.Submit(id=0, request=request, part=part, last=last, specs=packed)
                under_way.append(self._link.request(message))
                while len(under_way) > (0 if last else _PARTS_UNDER_WAY):
                    answer = self._link.answer(under_way.popleft(), wire.Message)
        finally:
            for call in under_way:
                self._link.end(call)
        return range(0) if answer is None else self._submitted(expect(answer, wire.Submitted))

    def submit_array(
        self, template: TaskLike, count: int, columns: Mapping[str, Iterable[Any]], *, request_id: str = ""
    ) -> range:
        """Queue `count` tasks of one template, all or none, and return their ids.

        `{name}` in the texts of the template stands for that column's value in each row; a column is a list of
        `count` values, or a `range`.
        """
        array = specs.array(template, count, columns)
        message = wire.Submit(id=0, request=request_id or _fresh(), array=array)
        return self._submitted(self._link.ask(message, wire.Submitted))

    def _submitted(self, done: wire.Submitted) -> range:
        for line in done.warnings:
            self._notice(line)
        return range(done.first, done.first + done.count)

    # ------------------------------------------------------------------------ wait and follow

    def wait(self, ids: Ids, timeout: float | None = None) -> list[wire.Ended]:
        """How these tasks ended, in the order given, once all have; TimeoutError after `timeout` seconds.

        A broker that is away is waited for. NotFound when a task is unknown, or is deleted meanwhile.
        """
        wanted = specs.ids(ids)
        ends: dict[int, wire.Ended] = {}
        deadline = _deadline(timeout)
        try:
            for tasks in specs.pieces(wanted):
                follow_to_ends(self._link, tasks, ends, deadline)
        except TimeoutError:
            raise TimeoutError(f"{len(wanted) - len(ends)} of {len(wanted)} tasks have not ended") from None
        if gone := [task for task in wanted if ends[task].status == "deleted"]:
            raise NotFound(f"there is no task {gone[0]}: it was deleted, or never was")
        return [ends[task] for task in wanted]

    def wait_batch(self, batch: str, timeout: float | None = None) -> list[wire.Ended]:
        """How the tasks of a batch ended, by id, once all have; TimeoutError after `timeout` seconds."""
        message = wire.Follow(id=0, batch=batch, ends_only=True)
        told = followed_changes(self._link, _again(message), _deadline(timeout))
        ends = {each.task: ended(each) for each in told if each.status in ENDED}
        return [ends[task] for task in sorted(ends)]

    def changes(self, ids: Ids = (), *, batch: str | None = None) -> Iterator[wire.Change]:
        """The present state of these tasks, then every change, until all have ended."""
        message = wire.Follow(id=0, tasks=specs.ids(ids), batch=batch)
        return followed_changes(self._link, _again(message), math.inf)

    def output(
        self, task: int, follow: bool = False, *, attempt: int = 0, stream: wire.StreamName | None = None
    ) -> Iterator[tuple[wire.StreamName, bytes]]:
        """What an attempt (0: the latest) wrote: (stream, bytes), stdout first.

        With `follow` both streams as they are written, until the attempt has ended, however long the broker is away.
        """
        for part in self.output_parts(task, follow, attempt=attempt, stream=stream):
            if part.data:
                yield part.stream, part.data

    def output_parts(
        self, task: int, follow: bool = False, *, attempt: int = 0, stream: wire.StreamName | None = None
    ) -> Iterator[wire.OutputPart]:
        """As `output`, with offsets and with what is missing: `gap` bytes before `offset`, and a `note` why."""
        wanted: tuple[wire.StreamName, ...] = ("stdout", "stderr") if stream is None else (stream,)
        if not follow:
            for each in wanted:
                yield from kept_output(self._link, task, attempt, each)
            return
        for part in followed_output(self._link, task, attempt):
            if part.stream in wanted:
                yield part

    # ------------------------------------------------------------------------ tasks

    def tasks(
        self,
        ids: Ids | None = None,
        *,
        batch: str | None = None,
        status: Iterable[str] | None = None,
        name: str | None = None,
    ) -> Iterator[Task]:
        """The tasks for which all that is given holds, by id; all tasks when nothing is."""
        for select in specs.conditions(ids, batch, status, name):
            for page in self._pages(wire.Tasks(id=0, select=select), wire.TaskPage):
                yield from page.tasks

    def attempts(
        self,
        ids: Ids | None = None,
        *,
        batch: str | None = None,
        status: Iterable[str] | None = None,
        name: str | None = None,
    ) -> Iterator[Attempt]:
        """The attempts of these tasks; see `tasks`."""
        for select in specs.conditions(ids, batch, status, name):
            for page in self._pages(wire.Attempts(id=0, select=select), wire.AttemptPage):
                yield from page.attempts

    def cancel(self, which: Selected) -> wire.Done:
        """End these tasks for good, the running ones too."""
        return self._each(which, lambda select: wire.Cancel(id=0, select=select))

    def relaunch(self, which: Selected, **changes: Any) -> wire.Done:
        """Queue these ended tasks again, as their next attempt, with these fields of `model.Changes` changed."""
        changed = specs.build(Changes, changes)
        return self._each(which, lambda select: wire.Relaunch(id=0, request=_fresh(), select=select, changes=changed))

    def update(self, which: Selected, **changes: Any) -> wire.Done:
        """Change fields of `model.Changes` of tasks that have not started."""
        changed = specs.build(Changes, changes)
        return self._each(which, lambda select: wire.Update(id=0, select=select, changes=changed))

    def delete(self, which: Selected, *, force: bool = False) -> wire.Done:
        """Forget these tasks, their story and output; `force`: also when others wait for them."""
        return self._each(which, lambda select: wire.Delete(id=0, select=select, force=force))

    def explain(self, task: int | None = None, *, batch: str | None = None) -> list[str]:
        """Why this task, or this batch, is where it is: lines for people."""
        return list(self._link.ask(wire.Explain(id=0, task=task, batch=batch), wire.Explained).lines)

    def progress(self, task: Task) -> list[str] | None:
        """How far its worker is with what it brings or stores for a task: lines for people.

        None when the worker does not answer within 2 s.
        """
        if task.status not in ON_THE_WAY:
            return []
        call = self._link.request(wire.WorkerProgress(id=0, worker=task.worker, task=task.id))
        try:
            answer = self._link.receive(call, time.monotonic() + _PROGRESS_S)
        except (TimeoutError, NotFound, Unavailable):
            return None
        finally:
            self._link.end(call)
        return list(expect(answer, wire.ProgressIs).lines)

    # ------------------------------------------------------------------------ batches and workers

    def batches(self) -> list[Batch]:
        """Every batch, by name."""
        return [row for page in self._pages(wire.Batches(id=0), wire.BatchPage) for row in page.batches]

    def batch_stop(self, batch: str, how: How = "stop") -> wire.Done:
        """Start nothing more of this batch, and `how` to treat what runs; `missing` workers have not answered."""
        return self._link.ask(wire.BatchStop(id=0, batch=batch, how=how), wire.Done)

    def batch_go(self, batch: str) -> wire.Done:
        """Let a stopped batch go on."""
        return self._link.ask(wire.BatchGo(id=0, batch=batch), wire.Done)

    def batch_delete(self, batch: str, *, force: bool = False) -> wire.Done:
        """Forget a batch and its tasks."""
        return self._link.ask(wire.BatchDelete(id=0, batch=batch, force=force), wire.Done)

    def workers(self) -> list[Worker]:
        """Every worker, by name."""
        return [row for page in self._pages(wire.Workers(id=0), wire.WorkerPage) for row in page.workers]

    def worker_update(
        self,
        worker: str,
        *,
        concurrency: int | None = None,
        prefetch: int | None = None,
        batch: str | None = None,
        paused: bool | None = None,
    ) -> wire.Done:
        """Change what is given of a worker, by name or id."""
        message = wire.WorkerUpdate(
            id=0, worker=worker, concurrency=concurrency, prefetch=prefetch, batch=batch, paused=paused
        )
        return self._link.ask(message, wire.Done)

    def worker_delete(self, worker: str, *, force: bool = False) -> wire.Done:
        """Dismiss a worker; `force`: also while it holds tasks."""
        return self._link.ask(wire.WorkerDelete(id=0, worker=worker, force=force), wire.Done)

    def worker_resources(self, worker: str) -> list[Resource]:
        """The resources that are on a worker, or on their way to it, by address."""
        return list(self._link.ask(wire.WorkerResources(id=0, worker=worker), wire.ResourceList).resources)

    def worker_clean(self, worker: str) -> wire.Cleaned:
        """Remove from a worker what failed tasks left there, and downloads that were interrupted."""
        return self._link.ask(wire.WorkerClean(id=0, worker=worker), wire.Cleaned)

    # ------------------------------------------------------------------------ access and the broker itself

    def access_create(self, name: str, role: wire.Role, *, address: str | None = None) -> AccessFile:
        """Have a new key pair accepted, and return what its access file holds; see `config.write_access`.

        `address` is where its owner will reach the broker; without it, where this client does.
        """
        address = config.parse_address(address or self.server.address)
        if not address.startswith("tcp://"):
            raise UsageError("keys are for tcp: say at which tcp://HOST:PORT their owner reaches this broker")
        public, secret = (key.decode() for key in zmq.curve_keypair())
        done = self._link.ask(wire.AccessCreate(id=0, name=name, role=role, key=public), wire.AccessKeys)
        return AccessFile(
            name=name,
            role=role,
            address=address,
            server_key=done.server_key,
            public_key=public,
            secret_key=secret,
        )

    def access_list(self) -> list[Access]:
        """Every key that was accepted, the revoked ones too."""
        return list(self._link.ask(wire.AccessList(id=0), wire.AccessKeys).keys)

    def access_revoke(self, name: str) -> wire.Done:
        """Refuse this key from now on, and end what was handed to it."""
        return self._link.ask(wire.AccessRevoke(id=0, name=name), wire.Done)

    def registry_login(self, registry: str, user: str, password: str) -> wire.Done:
        """Have the workers pull from a registry as this user, from now on."""
        return self._link.ask(wire.RegistryLogin(id=0, registry=registry, user=user, password=password), wire.Done)

    def registry_list(self) -> list[Registry]:
        """The registries that workers log in to."""
        return list(self._link.ask(wire.RegistryList(id=0), wire.RegistriesAre).registries)

    def registry_logout(self, registry: str) -> wire.Done:
        """Have the workers log in to it no more."""
        return self._link.ask(wire.RegistryLogout(id=0, registry=registry), wire.Done)

    def status(self) -> wire.StatusIs:
        """What the broker says of itself."""
        return self._link.ask(wire.Status(id=0), wire.StatusIs)

    def _pages(self, message: wire.Message, kind: type[P]) -> Iterator[P]:
        while True:
            page = self._link.ask(message, kind)
            yield page
            if page.next is None:
                return
            message = msgspec.structs.replace(message, after=page.next)

    def _each(self, which: Selected, order: Callable[[wire.Select], wire.Message]) -> wire.Done:
        """Carry out an order on a selection, which may take several messages, and add the answers up."""
        done = [self._link.ask(order(select), wire.Done) for select in specs.selects(which)]
        return wire.Done(
            id=0,
            count=sum(each.count for each in done),
            skipped=tuple(skipped for each in done for skipped in each.skipped),
            missing=tuple({worker: None for each in done for worker in each.missing}),
        )


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=4)


def _fresh() -> str:
    """A request id that nobody else makes."""
    return os.urandom(16).hex()


def _again(message: wire.Follow) -> Callable[[int], wire.Message]:
    return lambda number: msgspec.structs.replace(message, id=number)


def _deadline(timeout: float | None) -> float:
    return math.inf if timeout is None else time.monotonic() + timeout


def _check_socket(address: str) -> None:
    """Refuse a local socket that another user may have put there; one that is not there yet is no danger."""
    with suppress(FileNotFoundError):
        config.check_private(Path(address.removeprefix("ipc://")).parent)
