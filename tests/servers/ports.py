"""Ports for servers that cannot choose their own."""

import socket
import subprocess
import time


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def listening(port: int, server: subprocess.Popen[bytes], limit_s: float = 20) -> None:
    """Wait until a server that was started answers on its port."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        assert server.poll() is None, f"the server ended with {server.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise TimeoutError(f"nothing listens on {port}")
