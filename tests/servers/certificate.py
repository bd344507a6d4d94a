"""A certificate of 127.0.0.1 that nobody vouches for but a file of the test."""

import subprocess
from pathlib import Path
from typing import NamedTuple


class Certificate(NamedTuple):
    """Its files; the first is also what to trust."""

    path: Path
    key: Path


def certificate(folder: Path, *, authority: bool = False) -> Certificate:
    """Signed by itself; one that is an `authority` too OpenSSL takes for a server's, rustls (obstore) does not."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    about = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-config", "/dev/null"]
    about += ["-addext", f"basicConstraints=critical,CA:{str(authority).upper()}"]
    files = ["-keyout", str(made.key), "-out", str(made.path)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *about, *files],
        check=True,
        capture_output=True,
    )
    return made
