"""The local mesh: one broker and one worker in the background, for this user on this machine.

Law: whoever looks whether they run, starts or stops them holds the gate, so that twenty commands at once make one
broker, and a look never takes the lock that a broker is about to take. Each of the two holds its own lock as long
as it lives, and a pid is believed only while its process has that lock open.
"""

import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scitq.config import LocalPaths, Server
from scitq.errors import Conflict, ScitqError, Unavailable
from scitq.model import EVERY_BATCH

if TYPE_CHECKING:
    from subprocess import Popen

START_SECONDS = 5.0
STOP_SECONDS = 30.0
_JOIN_POLL_SECONDS = 0.02

Say = Callable[[str], None]


class Part(NamedTuple):
    """The broker or the worker of a local mesh."""

    name: str
    lock: Path  # held by it as long as it lives
    pid: Path  # each tells it in its lock; which worker is the mesh's own is noted when it is started
    log: Path


def broker_of(paths: LocalPaths) -> Part:
    """The broker's files."""
    lock = paths.state / "broker.lock"
    return Part("broker", lock, lock, _run(paths) / "broker.log")


def worker_of(paths: LocalPaths) -> Part:
    """The worker's files."""
    return Part("worker", paths.scratch / "lock", _run(paths) / "worker.pid", _run(paths) / "worker.log")


def ensure(paths: LocalPaths, say: Say, option: str = "") -> None:
    """Start what does not run, telling `say` before; ScitqError when it cannot be started.

    `option`: the words that name this mesh in other commands, when it is not the usual one.
    """
    if not _run(paths).is_dir():
        from scitq.broker.main import check_folder

        check_folder(paths.state)  # before anything is put into a folder that is something else
        _run(paths).mkdir(mode=0o700, exist_ok=True)
    with gate(paths):
        broker, worker = broker_of(paths), worker_of(paths)
        if not _is_held(broker.lock):
            say(
                f"starting a local mesh in {paths.state}: `scitq status{option}` shows it,"
                f" `scitq down{option}` stops it"
            )
            _start_broker(broker, paths)
            if _is_held(worker.lock) and _is_ours(worker):  # it outlived the broker, and finds the new one itself
                _await_worker(worker, paths)
        if not _is_held(worker.lock):
            _start_worker(worker, paths)


def is_up(paths: LocalPaths) -> bool:
    """Whether its broker runs."""
    if not _run(paths).is_dir():
        return False
    with gate(paths):
        return _is_held(broker_of(paths).lock)


def stop(part: Part) -> None:
    """Ask it to end, if it runs, and wait until it has. The caller holds the gate."""
    if not _is_held(part.lock):
        return
    process = _process(part)
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        if not _stirs(process, STOP_SECONDS):
            raise Unavailable(f"the {part.name} has not ended within {STOP_SECONDS:g} s: see {part.log}")
    finally:
        os.close(process)


@contextmanager
def gate(paths: LocalPaths) -> Iterator[None]:
    """Be the only one who looks at, starts or stops this mesh."""
    handle = os.open(_run(paths) / "gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_held(lock: Path) -> bool:
    """Whether somebody holds this lock. The caller holds the gate."""
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _stirs(descriptor: int, seconds: float) -> bool:
    """Whether it can be read, or was closed, within that time; unlike `select` it takes descriptors past 1023."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _run(paths: LocalPaths) -> Path:
    return paths.state / "run"


def _start_broker(part: Part, paths: LocalPaths) -> None:
    ready, told = os.pipe()
    try:
        words = ["scitq.broker", "--state", str(paths.state), "--bind", paths.address, "--ready-fd", str(told)]
        process = _spawn(part, words, keep=told)
    finally:
        os.close(told)
    try:
        if not _stirs(ready, START_SECONDS):
            raise Unavailable(f"the broker is still starting after {START_SECONDS:g} s: {_last_line(part)}")
        if not os.read(ready, 1):  # it ended without a word to us
            process.wait()
            raise ScitqError(f"the broker did not start: {_last_line(part)}")
    finally:
        os.close(ready)


def _start_worker(part: Part, paths: LocalPaths) -> None:
    from scitq.node.probe import probe

    words = ["scitq", "node", "--server", paths.address, "--scratch", str(paths.scratch)]
    words += ["--batch", EVERY_BATCH, "--concurrency", str(probe().cpus)]
    if os.environ.get("PATH"):  # whoever starts a mesh of their own expects their own programs
        words += ["--path", os.environ["PATH"]]
    process = _spawn(part, words)
    part.pid.write_text(f"{process.pid}\n", encoding="ascii")
    if not _await_worker(part, paths, process):
        raise Unavailable(f"the worker has not joined after {START_SECONDS:g} s: {_last_line(part)}")


def _await_worker(part: Part, paths: LocalPaths, process: "Popen[bytes] | None" = None) -> bool:
    """Wait until the worker has its lock and the broker knows it: what is launched next finds it.

    That a worker is online proves no lock: its predecessor, if killed, is online too until the broker misses it.
    """
    from scitq.client import Client

    with Client(Server(address=paths.address, local=True)) as client:
        deadline = time.monotonic() + START_SECONDS
        while not (
            _is_ours(part)
            and any(worker.status == "online" and worker.batch == EVERY_BATCH for worker in client.workers())
        ):
            if process is not None and process.poll() is not None:
                raise ScitqError(f"the worker did not start: {_last_line(part)}")
            if time.monotonic() > deadline:
                return False
            time.sleep(_JOIN_POLL_SECONDS)
    return True


def _is_ours(part: Part) -> bool:
    """Whether the one that was started here took the lock last."""
    with suppress(FileNotFoundError):
        return part.lock.read_bytes() == part.pid.read_bytes()
    return False


def _spawn(part: Part, words: list[str], keep: int | None = None) -> "Popen[bytes]":
    """Start `python -m WORDS` on its own: no terminal, no folder and no descriptor of ours but `keep`."""
    import subprocess

    package = Path(__file__).parents[2]  # where this very scitq is found again
    with part.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=package,
            start_new_session=True,
            pass_fds=() if keep is None else (keep,),
        )


def _process(part: Part) -> int:
    """A descriptor of the process that holds the lock."""
    try:
        pid = int(part.pid.read_text(encoding="ascii"))
        process = os.pidfd_open(pid)
    except (OSError, ValueError):
        raise _stranger(part) from None
    if not _has_open(pid, part.lock):
        os.close(process)
        raise _stranger(part)
    return process


def _has_open(pid: int, file: Path) -> bool:
    wanted = file.stat()
    with suppress(FileNotFoundError, PermissionError):  # it has ended, or is another user's
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if os.path.samestat(descriptor.stat(), wanted):
                    return True
    return False


def _stranger(part: Part) -> Conflict:
    return Conflict(f"the {part.name} was not started by `scitq up`: stop it where it was started")


def _last_line(part: Part) -> str:
    try:
        lines = part.log.read_text(encoding="utf-8", errors="backslashreplace").split("\n")
    except OSError:
        lines = []
    last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    return f"{last} ({part.log})"
