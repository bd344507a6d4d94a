"""One connection from the agent to one keeper, and how to get it: by starting the keeper, or finding it."""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgpack

from scitq.node.keeper import VERSION
from scitq.node.orders import Held, Order, Started, ended

_PATIENCE = 5.0  # seconds for a living keeper to answer, or a dying one to be gone
_BACKLOG = 8

_pack = msgpack.Packer(use_bin_type=True).pack


class Line:
    """What the agent knows of one keeper, and the bytes between them."""

    def __init__(self, number: int, link: socket.socket, pid: int = 0) -> None:
        """`pid` is 0 when an earlier agent started it."""
        self.number = number
        self.queue: dict[str, Order | None] = {}  # None: given by an earlier agent
        self.running = ""
        self.ended: set[str] = set()  # told, not yet acknowledged
        self.leaving = False
        self.stuck = False
        self._pid = pid
        self._link = link
        self._out = bytearray()
        self._unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=64 * 1024 * 1024)

    @property
    def load(self) -> int:
        """How many attempts it runs or will run."""
        return len(self.queue) + bool(self.running)

    @property
    def unsent(self) -> bool:
        """Whether something waits that could be sent."""
        return bool(self._out) and not self.stuck

    def fileno(self) -> int:
        """The socket."""
        return self._link.fileno()

    def say(self, message: list[Any]) -> None:
        """Add an order; `send` sends."""
        self._out += _pack(message)

    def send(self) -> None:
        """Send what the socket takes; `stuck` tells whether more is left. A dead keeper shows in `hear`."""
        try:
            del self._out[: self._link.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self._out.clear()
        self.stuck = bool(self._out)

    def hear(self) -> list[list[Any]] | None:
        """What it has told since; None when it is gone."""
        try:
            data = self._link.recv(256 * 1024)
        except BlockingIOError:
            return []
        except TimeoutError:
            raise
        except OSError:
            return None
        if not data:
            return None
        self._unpacker.feed(data)
        return list(self._unpacker)

    def greet(self) -> tuple[list[Held], list[list[Any]]] | None:
        """Wait for its hello: what it holds, and what it told right after. None when it died meanwhile.

        Raises:
            TimeoutError: it does not answer.
        """
        self._link.settimeout(_PATIENCE)
        messages: list[list[Any]] | None = []
        while messages is not None and not messages:
            messages = self.hear()
        self._link.setblocking(False)
        if messages is None:
            return None
        _, version, holds = messages[0]
        if version != VERSION:  # it would not understand our orders
            self.leaving = True
            self.say(["exit"])
        held = [_held(one) for one in holds]
        self.queue = {one.name: None for one in held if one.state == "queued"}
        self.running = next((one.name for one in held if one.state == "running"), "")
        self.ended = {one.name for one in held if one.state == "ended"}
        return held, messages[1:]

    def close(self) -> None:
        """Hang up, and collect the keeper if it is our child and dead."""
        self._link.close()
        if self._pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, os.WNOHANG)


def open_keeper(folder: Path, outbox: Path, number: int, linger: float) -> Line:
    """Start a keeper; orders may be said at once, it hears them when it is up."""
    files = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    lock = os.open(_lock_path(folder, number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    (folder / f"{number}.sock").unlink(missing_ok=True)
    try:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
            (folder / "log").open("ab") as log,
        ):
            listener.bind(_address(files, number))
            listener.listen(_BACKLOG)
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            link.connect(_address(files, number))
            link.setblocking(False)
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "scitq.node.keeper",
                    str(number),
                    str(folder),
                    str(outbox),
                    str(listener.fileno()),
                    str(lock),
                    str(linger),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],  # first on its path: the keeper's scitq is the agent's
                pass_fds=(listener.fileno(), lock),
                start_new_session=True,
            )
            process.returncode = 0  # it outlives us: `close` collects it if it does not
    finally:
        os.close(lock)
        os.close(files)
    return Line(number, link, process.pid)


def find_keeper(folder: Path, number: int) -> tuple[Line, list[Held], list[list[Any]]] | None:
    """Connect to a keeper that an earlier agent started: as `Line.greet`; None when it is dead.

    Raises:
        TimeoutError: it lives and does not answer.
    """
    deadline = time.monotonic() + _PATIENCE
    while not is_dead(folder, number):
        files = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line = Line(number, link)
        try:
            link.settimeout(_PATIENCE)
            link.connect(_address(files, number))
            if greeting := line.greet():
                return line, *greeting
        except (ConnectionError, FileNotFoundError):
            pass  # it is about to leave
        except TimeoutError:
            link.close()
            raise TimeoutError(_silent(folder, number)) from None
        finally:
            os.close(files)
        link.close()
        if time.monotonic() > deadline:
            raise TimeoutError(_silent(folder, number))
        time.sleep(0.005)
    return None


def await_death(folder: Path, number: int) -> None:
    """Wait for a keeper that hung up to be gone.

    Raises:
        TimeoutError: it goes on.
    """
    deadline = time.monotonic() + _PATIENCE
    while not is_dead(folder, number):
        if time.monotonic() > deadline:
            raise TimeoutError(_silent(folder, number))
        time.sleep(0.001)


def is_dead(folder: Path, number: int) -> bool:
    """Whether nobody holds the keeper's lock."""
    try:
        lock = os.open(_lock_path(folder, number), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def numbers(folder: Path) -> list[int]:
    """The numbers of all keepers that left a file."""
    found = {path.name.split(".")[0] for path in folder.iterdir()}
    return sorted(int(number) for number in found if number.isdigit())


def _held(one: list[Any]) -> Held:
    state, name, spec, suspended, out, err, start, end = one
    return Held(
        name=name,
        spec=spec,
        state=state,
        started=Started(name, start[2], start[5], (start[3], start[4])) if start else None,
        suspended=suspended,
        out=out,
        err=err,
        end=ended(end) if end else None,
    )


def _address(files: int, number: int) -> str:
    """A path that is short however long the folder's is."""
    return f"/proc/self/fd/{files}/{number}.sock"


def _lock_path(folder: Path, number: int) -> Path:
    return folder / f"{number}.lock"


def _silent(folder: Path, number: int) -> str:
    return f"keeper {number} lives (it holds {_lock_path(folder, number)}) but does not answer: is it stopped?"
