"""Starting a broker on a state folder: lock, open, replay, serve."""

import contextlib
import fcntl
import gc
import logging
import os
import resource
import secrets
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import zmq

from scitq.broker import events
from scitq.broker.access import server_keys, write_private
from scitq.broker.apply import apply
from scitq.broker.events import Entry
from scitq.broker.journal import Journal
from scitq.broker.logs import LogStore
from scitq.broker.loop import Broker, Settings
from scitq.broker.state import State
from scitq.broker.tasks import Live, unpack_end
from scitq.errors import Conflict, UsageError

log = logging.getLogger("scitq.broker")

DEFAULT_BIND = "tcp://127.0.0.1:5555"
DEFAULT_GRACE = 300.0


def run(
    state: Path, bind: tuple[str, ...] = (DEFAULT_BIND,), grace: float = DEFAULT_GRACE, ready_fd: int = -1
) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. `ready_fd` gets the address when connections are taken."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    check_folder(state)
    _raise_file_limit()
    with state_lock(state):
        broker = open_broker(Settings(state, bind, grace))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, broker.stop)
        log.info("broker of mesh %s listens at %s", broker.mesh, broker.endpoint)
        if ready_fd >= 0:
            os.write(ready_fd, broker.endpoint.encode() + b"\n")
            os.close(ready_fd)
        code = broker.run()
        log.info("broker stopped")
        return code


@contextlib.contextmanager
def state_lock(state: Path) -> Iterator[None]:
    """Hold the state alone; Conflict when another broker has it. The file tells its pid."""
    try:
        fd = os.open(state / "broker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise UsageError(
            f"{state} cannot be written ({problem.strerror}): see to its disk, or give another with --state DIR"
        ) from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(fd, 32, 0).decode(errors="replace").strip()
            raise Conflict(f"{state} is in use by the broker with pid {pid or 'unknown'}") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def open_broker(settings: Settings) -> Broker:
    """A broker on the replayed state, bound and ready to run; the state's lock is the caller's."""
    state = State()
    journal = Journal.open(settings.state / "journal")
    replay(journal, state)
    for note in journal.notes:
        log.warning("%s", note)
    if not state.mesh:
        mesh = uuid.UUID(bytes=secrets.token_bytes(16), version=4)
        _append(state, journal, events.MeshCreated(str(mesh), 1))
    keys = server_keys(settings.state / "access")
    store = LogStore.open(settings.state / "logs")
    store.hold(log_pointers(state))
    state.released.clear()
    broker = Broker(settings, state, journal, store, keys)
    _first_admin(settings, state, journal, keys.public, broker.endpoint)
    return broker


def replay(journal: Journal, state: State) -> None:
    """Bring the state up to the journal; Conflict when an event is of a later scitq."""
    gc.disable()  # facts make no cycles: to look for them among millions of records, again and again, takes long
    try:
        for body in journal.replay():
            for entry in _entries(body):
                apply(state, entry)
    finally:
        gc.enable()


def _entries(body: bytes) -> tuple[Entry, ...]:
    try:
        return events.decode(body)
    except msgspec.ValidationError as problem:
        raise Conflict(
            f"the journal holds an event that this scitq does not know ({problem}): start a newer one"
        ) from None


def log_pointers(state: State) -> Iterator[int]:
    """The last record of every stream that a task names."""
    for _, slot in state.tasks.touched():
        past = unpack_end(slot).past if type(slot) is bytes else slot.past  # type: ignore[union-attr]
        for result in past:
            yield from (end.pointer for end in (result.stdout, result.stderr) if end and end.pointer is not None)
        if type(slot) is Live:
            yield from (end.pointer for end in slot.logs.values() if end.pointer >= 0)


def _first_admin(settings: Settings, state: State, journal: Journal, server_key: str, address: str) -> None:
    """Give a new mesh's first admin a key: the file first, so that a granted key is never one that nobody has."""
    path = settings.state / "access" / "admin.toml"
    if "admin" in state.access or path.exists():
        return
    public, secret = zmq.curve_keypair()
    content = {
        "name": "admin",
        "role": "admin",
        "address": address if address.startswith("tcp://") else DEFAULT_BIND,
        "server_key": server_key,
        "public_key": public.decode(),
        "secret_key": secret.decode(),
    }
    write_private(path, content)
    _append(state, journal, events.AccessGranted("admin", "admin", public.decode()))


def _append(state: State, journal: Journal, fact: events.Fact) -> None:
    entry = Entry(time.time(), "first start", (fact,))
    journal.append(events.encode([entry]))
    apply(state, entry)


_KNOWN = frozenset({"journal", "logs", "access", "run", "scratch", "broker.lock", "README.md"})


def check_folder(state: Path) -> None:
    """UsageError unless the folder is a state, or empty, or not there yet."""
    if state.exists() and not state.is_dir():
        raise UsageError(f"{state} is not a folder: give the state folder with --state DIR")
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        strange = sorted({path.name for path in state.iterdir()} - _KNOWN)
    except OSError as problem:
        raise UsageError(f"{state} cannot be a state folder: {problem}") from None
    if strange and not (state / "journal").is_dir():
        raise UsageError(f"{state} is not a state folder (it holds {strange[0]}): give an empty one, or another")


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
