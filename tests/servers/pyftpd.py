"""pyftpdlib: MLSD, MFMT; a user with a password, in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.ports import free_port, listening

USER, PASSWORD = "reader", "p@ss/word"
SCRIPT = """
import logging, sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

root, port, user, password, most = sys.argv[1:]
logging.basicConfig(level=logging.ERROR)
users = DummyAuthorizer()
users.add_user(user, password, root, perm="elradfmwMT")
users.add_anonymous(root)
FTPHandler.authorizer = users
FTPHandler.passive_ports = None
server = FTPServer(("127.0.0.1", int(port)), FTPHandler)
server.max_cons_per_ip = int(most)
server.serve_forever()
"""


@contextmanager
def pyftpd(root: Path, most: int = 0) -> Iterator[str]:
    """Yields host:port; `most` connections at once, 0 for any number."""
    port = free_port()
    command = [sys.executable, "-c", SCRIPT, str(root), str(port), USER, PASSWORD, str(most)]
    with subprocess.Popen(command) as server:
        try:
            listening(port, server)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
