"""A client as a process of its own: submits and reads until told that it is enough, whatever befalls it or the mesh.

    python -m tests.e2e.chaos.client ACCESS FOLDER NAME

What it asked for and what it was told stand in `FOLDER/NAME.ledger`, a line each, written before it goes on: its
successor repeats what has no answer under the same request id. It ends once all its tasks have.
"""

import os
import secrets
import sys
from pathlib import Path

from scitq.client import Client
from scitq.config import Server, read_access
from scitq.errors import NoServer, Unavailable
from tests.e2e.chaos.ledger import Ledger, command

PATIENCE = 5.0  # seconds to wait for the tasks of a bulk request before the next
BURST = 30  # requests of one task between two such waits, about


class Customer:
    """One life of the client."""

    def __init__(self, server: Server, folder: Path, name: str) -> None:
        self._server = server
        self._folder = folder
        self._ledger = Ledger(folder / f"{name}.ledger")
        self._name = name

    def live(self) -> None:
        """Until it is enough, and everything has ended."""
        while True:
            try:
                with Client(self._server, notice=lambda line: None) as client:
                    while not (self._folder / "enough").exists() or self._ledger.open:
                        self._submit(client)
                    for ids in self._ledger.told.values():
                        client.wait(ids)
                    return
            except (NoServer, Unavailable) as problem:
                print(f"{self._name}: {problem}", file=sys.stderr)

    def _submit(self, client: Client) -> None:
        bulk = secrets.randbelow(BURST) == 0
        fresh = (f"{self._name}-{secrets.token_hex(8)}", 1 + secrets.randbelow(24) if bulk else 1)
        request, count = self._ledger.open or fresh
        self._ledger.ask(request, count)
        ids = client.submit_many([command(self._folder, number) for number in range(count)], request_id=request)
        self._ledger.acknowledge(request, ids)
        assert [task.id for task in client.tasks(ids)] == list(ids), f"{ids} were acknowledged and are not there"
        if not bulk:
            return
        try:
            ends = client.wait(ids, timeout=PATIENCE)
        except TimeoutError:
            return
        for end in ends:
            written = b"".join(data for _, data in client.output(end.task, attempt=end.attempt))
            wanted = f"/{end.task}.{end.attempt}\n".encode() if end.status == "succeeded" else b""
            assert written.endswith(wanted), f"{end}: {written!r}"


def main() -> None:
    access, folder, name = sys.argv[1:]
    keys = read_access(Path(access))
    server = Server(
        address=keys.address, server_key=keys.server_key, public_key=keys.public_key, secret_key=keys.secret_key
    )
    print(f"{name} lives as {os.getpid()}", file=sys.stderr)
    Customer(server, Path(folder), name).live()


if __name__ == "__main__":
    main()
