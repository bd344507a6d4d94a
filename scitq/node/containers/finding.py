"""Where a container engine answers on this machine, if one does."""

import json
import os
import shutil
import subprocess

from scitq.node.containers.engine import Engine

PROBE_SECONDS = 5.0  # an engine that takes longer to say its version is not there


def host() -> str:
    """Where the engine would answer: DOCKER_HOST, or the first socket found; "" when there is none."""
    if chosen := os.environ.get("DOCKER_HOST"):
        return chosen
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    for path in (
        "/var/run/docker.sock",
        f"{runtime}/docker.sock",
        "/run/podman/podman.sock",
        f"{runtime}/podman/podman.sock",
    ):
        if os.access(path, os.R_OK | os.W_OK):
            return f"unix://{path}"
    return ""


def probe() -> Engine | None:
    """The engine that answers now through the docker command line, if one does."""
    where = host()
    program = shutil.which("docker") if where else None
    if program is None:
        return None
    try:
        told = subprocess.run(
            [program, "version", "--format", "{{json .Server}}"],
            env={**os.environ, "DOCKER_HOST": where},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_SECONDS,
            check=True,
        )
        server = json.loads(told.stdout)
        parts = {str(part.get("Name", "")).lower() for part in server.get("Components") or ()}
        kind = "podman" if any("podman" in part for part in parts) else "docker"
        return Engine(where, program, kind, str(server["Version"]), str(server["ApiVersion"]))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, KeyError, AttributeError):
        return None
