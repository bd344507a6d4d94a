"""nginx, serving a folder: ranges, ETags, If-Match."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.certificate import Certificate
from tests.servers.ports import free_port, listening

CONFIG = """
daemon off; master_process off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log {home}/access.log; sendfile on; tcp_nopush on; charset off;
    client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3;
    uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;
    server {{ listen 127.0.0.1:{port} {tls}; root "{root}"; {more} }}
}}
"""


@contextmanager
def nginx(root: Path, home: Path, more: str = "", tls: Certificate | None = None) -> Iterator[str]:
    """Yields host:port; `more` goes into the server's block, `tls` shows a certificate. Skips without nginx."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no nginx here")
    port = free_port()
    home.mkdir(exist_ok=True)
    listen = ""
    if tls:
        listen = "ssl"
        more += f" ssl_certificate {tls.path}; ssl_certificate_key {tls.key};"
    user = "user root;" if os.geteuid() == 0 else ""
    config = home / "nginx.conf"
    config.write_text(user + CONFIG.format(home=home, port=port, root=root, more=more, tls=listen))
    with subprocess.Popen([program, "-p", home, "-c", config, "-e", home / "error.log"]) as server:
        try:
            listening(port, server)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
