"""An environment for each peer, made once under the user's cache folder; a peer that cannot be had is skipped."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


class NotHereError(Exception):
    """A peer cannot be measured on this machine; the text says why."""


def cache_folder() -> Path:
    """Where the environments lie."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "scitq-benchmarks"


@cache
def python(name: str, *packages: str) -> str:
    """The interpreter of the peer's environment, which is made first if need be."""
    folder = cache_folder() / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = str(folder / "bin" / "python")
    if not (folder / "ready").exists():
        steps = (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [interpreter, "-m", "pip", "install", "--quiet", *packages],
        )
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
                raise NotHereError(f"cannot be installed: {lines[-1][:120]}")
        (folder / "ready").touch()
    return interpreter


@cache
def version(interpreter: str, package: str) -> str:
    """Which release is measured."""
    ask = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([interpreter, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()


def program(name: str) -> str:
    """The path of a program; NotHereError when it is not installed."""
    path = shutil.which(name)
    if path is None:
        raise NotHereError(f"`{name}` is not installed")
    return path


def told(command: list[str]) -> float:
    """The number that a runner prints."""
    path = f"{Path(command[0]).parent}:{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "PATH": path}  # what a peer starts by name lies beside its interpreter
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, env=environment)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise NotHereError(f"failed: {lines[-1][:120]}")
    return float(done.stdout.strip().splitlines()[-1])
