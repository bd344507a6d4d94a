"""Where and with what was measured."""

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

import zmq

from benchmarks.peers import versions
from scitq import __version__

ROOT = Path(__file__).parents[1]


def lines() -> list[str]:
    """The machine, the kernel, the versions, the date."""
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    return [
        f"- {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, scitq {__version__}, commit {_commit()}",
        f"- {cores} cores of {_processor()}, {_memory():.0f} GiB",
        f"- {platform.system()} {platform.release()}, load of others before the first row {load:.1f}",
        f"- Python {platform.python_version()}, libzmq {zmq.zmq_version()}, pyzmq {zmq.__version__}",
        f"- peers: {', '.join(_peers())}",
    ]


def _peers() -> list[str]:
    found = [f"{name} {release}" for name, release in versions().items()]
    for name in ("parallel", "redis-server", "xargs"):
        if shutil.which(name):
            said = subprocess.run([name, "--version"], capture_output=True, text=True, check=False).stdout
            found.append(said.splitlines()[0].partition(" sha=")[0].strip() if said else name)
    return found


def _commit() -> str:
    try:
        words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
