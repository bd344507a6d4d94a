"""`scitq up`, `scitq down`, `scitq status`."""

from argparse import Namespace
from typing import TYPE_CHECKING

from scitq.config import LocalPaths, Server, local_paths
from scitq.errors import ScitqError
from scitq.model import Worker
from scitq.shell.connect import JSON, SERVER, STATE, client_of, say, server_of
from scitq.shell.outcome import tasks
from scitq.shell.render import command_line, moment, one_line, plain, print_json, print_table
from scitq.shell.tree import Command

if TYPE_CHECKING:
    from scitq.wire import StatusIs

_WORKER = ("name", "status", "paused", "batch", "concurrency", "running", "held", "succeeded", "failed")


def up(given: Namespace) -> int:
    """Start what does not run of the local mesh."""
    from scitq.shell.mesh import ensure

    paths = local_paths(given.state)
    ensure(paths, say, _option(given))
    print(one_line(f"the local mesh is up: {paths.state}"))
    return 0


def down(given: Namespace) -> int:
    """Stop worker and broker; what runs goes on under its keepers."""
    from scitq.shell.mesh import broker_of, gate, is_up, stop, worker_of

    paths = local_paths(given.state)
    if not is_up(paths):
        print(one_line(f"no local mesh runs in {paths.state}"))
        return 0
    running = _running(paths)
    with gate(paths):
        for part in (worker_of(paths), broker_of(paths)):
            stop(part)
    print(one_line(f"the local mesh is down: {paths.state}"))
    if running:
        print(
            f"{tasks(running)} still running, on their own; `scitq up{_option(given)}` takes up what became of them"
        )
    return 0


def status(given: Namespace) -> int:
    """Say what the mesh is and does."""
    server = server_of(given)
    if server.local:
        from scitq.shell.mesh import is_up

        paths = local_paths(given.state)
        if not is_up(paths):
            raise ScitqError(f"no local mesh runs in {paths.state}: `scitq up{_option(given)}` starts it")
    with client_of(given) as client:
        found = client.status()
        if given.json:
            print_json([{name: value for name, value in plain(found).items() if name not in ("id", "type")}])
            return 0
        _print_status(server.address, found, client.workers())
    return 0


def _running(paths: LocalPaths) -> int:
    """How many tasks run on the mesh's own broker; none that can be told when it does not answer."""
    from scitq.client import Client

    try:
        with Client(Server(address=paths.address, local=True)) as client:
            counts = client.status().counts
    except ScitqError as problem:
        say(str(problem))
        return 0
    return counts.get("running", 0) + counts.get("uploading", 0)


def _option(given: Namespace) -> str:
    return f" {command_line(('--state', given.state))}" if given.state else ""


def _print_status(address: str, found: "StatusIs", workers: list[Worker]) -> None:
    counts = ", ".join(f"{count} {status}" for status, count in found.counts.items() if count)
    lines = {
        "broker": f"{address}, pid {found.pid}, version {found.version}, since {moment(found.started_at)}",
        "mesh": f"{found.mesh}, epoch {found.epoch}",
        "tasks": counts or "none yet",
        "batches": str(found.batches),
        "workers": ", ".join(f"{count} {status}" for status, count in found.workers.items() if count) or "none",
    }
    for name, text in lines.items():
        print(f"{name:8} {one_line(text)}")
    for note in found.notes:
        print(f"note     {one_line(note)}")
    if workers:
        print()
        print_table(_WORKER, [[getattr(worker, name) for name in _WORKER] for worker in workers])


UP = Command("up", "start the local mesh: a broker and a worker on this machine", up, (STATE,))
DOWN = Command("down", "stop the local mesh; what runs goes on", down, (STATE,))
STATUS = Command("status", "say what the mesh is and does", status, (JSON, *SERVER))
