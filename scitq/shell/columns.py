"""Lists: which columns, short or long, and how each value of the model is shown."""

from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from scitq.model import Gpu
from scitq.shell.connect import JSON
from scitq.shell.render import Cell, command_line, decoded, duration, moment, print_json, print_table, size
from scitq.shell.tree import Option

NO_HEADER = Option(("-H", "--no-header"), "leave out the line of column names")
LONG = Option(("-L", "--long"), "more columns")
LISTING = (NO_HEADER, JSON)


def _gpus(several: Iterable[Gpu]) -> str:
    """The GPUs of a worker, equal ones counted: `2 x NVIDIA H100 (79.6 GiB)`."""
    kinds = Counter(f"{gpu.name} ({size(gpu.memory)})" for gpu in several)
    return ", ".join(f"{count} x {kind}" for kind, count in kinds.items())


_SHOWN: dict[str, Callable[[Any], Cell]] = {
    "command": command_line,
    "inputs": " ".join,
    "resources": " ".join,
    "requires": lambda ids: ",".join(map(str, ids)),
    "env": lambda env: command_line(f"{name}={decoded(value)}" for name, value in env.items()),
    "versions": lambda versions: " ".join(f"{uri} {version}" for uri, version in versions.items()),
    "stored": lambda files: ", ".join(f"{name} ({size(count)})" for name, count in files),
    "gpus": _gpus,
    "cpu": "{:g}".format,
    "gpu": "{:g}".format,
    "cores": "{:.2f}".format,
    "log_limit": lambda limit: "none" if limit is None else size(limit),
    "stdout": lambda stream: size(stream.total),
    "stderr": lambda stream: size(stream.total),
}
_SIZES = (
    *("size", "memory", "mem", "disk", "peak_memory", "peak_disk"),
    *("bytes_in", "bytes_out", "read_bytes", "written_bytes"),
)
_RARE = ("cpu", "mem", "gpu", "disk", "gpus", "tags", "engine")  # a column only where a row has something there


def shown(name: str, value: Any) -> Cell:
    """A value of the model as a cell of a table."""
    if name in _RARE and not value:
        return None
    if name in _SHOWN and (value is not None or name == "log_limit"):
        return _SHOWN[name](value)
    if name.endswith("_at"):
        return moment(value)
    if value is None:
        return None
    if name.endswith(("_seconds", "_timeout")):
        return duration(value)
    return size(value) if name in _SIZES else value


def print_list(given: Namespace, values: Iterable[Any], names: tuple[str, ...], more: tuple[str, ...] = ()) -> None:
    """Print values of the model as the options ask: JSON, or a table of these fields (`more`: with -L)."""
    if given.json:
        print_json(values)
        return
    fields = (*names, *more) if more and given.long else names
    rows = ([shown(name, getattr(value, name)) for name in fields] for value in values)
    print_table([name.rstrip("_") for name in fields], rows, header=not given.no_header, rare=_RARE)
