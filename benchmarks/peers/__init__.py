"""The peers, each in an environment of its own: `PEERS` by name, from a command and a count to tasks a second."""

import subprocess
import tempfile
import time
from collections.abc import Callable

from benchmarks.peers.environments import HERE, NotHereError, program, python, told, version

SLOTS = 2
PACKAGES = {
    "hyperqueue": ("hyperqueue",),
    "dask": ("distributed",),
    "parsl": ("parsl",),
    "celery": ("celery", "redis", "packaging"),
}


def _in_python(name: str) -> Callable[[list[str], int], float]:
    def rate(command: list[str], count: int) -> float:
        return told([python(name, *PACKAGES[name]), str(HERE / f"run_{name}.py"), str(count), *command])

    return rate


def celery(command: list[str], count: int) -> float:
    """Its broker is a program of its own."""
    program("redis-server")
    return _in_python("celery")(command, count)


def xargs(command: list[str], count: int) -> float:
    """Two at a time, nothing recorded, output thrown away."""
    words = [program("xargs"), f"-P{SLOTS}", "-I{}", *command]
    return _fed(words, count)


def parallel(command: list[str], count: int) -> float:
    """GNU parallel with its log of jobs."""
    with tempfile.NamedTemporaryFile() as log:
        return _fed([program("parallel"), "-j", str(SLOTS), "--joblog", log.name, "-N0", "-q", *command], count)


def _fed(words: list[str], count: int) -> float:
    begin = time.perf_counter()
    numbers = "".join(f"{number}\n" for number in range(count))
    subprocess.run(words, input=numbers, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return count / (time.perf_counter() - begin)


def hyperqueue_start() -> float:
    """Milliseconds from its submit to the start of the command."""
    return told([python("hyperqueue", *PACKAGES["hyperqueue"]), str(HERE / "run_hyperqueue.py"), "--start"])


def versions() -> dict[str, str]:
    """The releases of the Python peers, or why there is none."""
    found = {}
    for name, packages in PACKAGES.items():
        try:
            found[name] = version(python(name, *packages), packages[0])
        except NotHereError as problem:
            found[name] = str(problem)
    return found


PEERS: dict[str, Callable[[list[str], int], float]] = {
    "HyperQueue, output files": _in_python("hyperqueue"),
    "xargs -P2": xargs,
    "GNU parallel, joblog": parallel,
    "Dask distributed": _in_python("dask"),
    "Parsl HTEX": _in_python("parsl"),
    "Celery, Redis with AOF": celery,
}
