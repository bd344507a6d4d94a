"""Which GPUs this machine has and this worker may use, as their makers' programs tell: nvidia-smi and rocm-smi.

A program that fails, or a driver that hangs, costs a line and its GPUs, never the worker.
"""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scitq.model import MIB
from scitq.node.disk import in_words
from scitq.node.gpus import Device
from scitq.node.say import say

PATIENCE = 10.0  # seconds: some machines with eight cards wake them one by one
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits")
ROCM_SMI = (
    *("rocm-smi", "--showproductname", "--showid", "--showuniqueid", "--showbus"),
    *("--showmeminfo", "vram", "--json"),
)
ELSEWHERE = "/opt/rocm/bin"  # on no PATH, as a rule
TRACES = {"nvidia-smi": ("dev/nvidia0", "proc/driver/nvidia"), "rocm-smi": ("dev/kfd",)}


class Untold(Exception):
    """Why a program told of no GPU, in one line."""


def detect(
    root: Path = Path("/"), environ: Mapping[str, str] = os.environ, patience: float = PATIENCE
) -> tuple[Device, ...]:
    """All GPUs that tasks may be given: those of this machine that the environment does not hide from this process.

    A program that is not there is not asked; `root` is where `/dev`, `/proc` and `/sys` are looked for.
    """
    found: list[Device] = []
    with _said(NVIDIA_SMI[0]):
        if told := _answer(NVIDIA_SMI, root, environ, patience):
            found += nvidia(told, environ)
    with _said(ROCM_SMI[0]):
        if told := _answer(ROCM_SMI, root, environ, patience):
            found += amd(told, environ, root, first=1 + max((one.number for one in found), default=-1))
    for one in found:
        say(f"GPU {one.number}: {one.name}" + (f", {in_words(one.memory)}" if one.memory else ""))
    return tuple(found)


@contextmanager
def _said(program: str) -> Iterator[None]:
    try:
        yield
    except Untold as problem:
        say(f"{program} tells of no GPU, so tasks are given none: {problem}")


def nvidia(told: str, environ: Mapping[str, str]) -> list[Device]:
    """What nvidia-smi told, a GPU a line; a line that complains of one is said. Untold when there is no other."""
    found: dict[int, Device] = {}
    complaints = []
    for line in filter(None, map(str.strip, told.splitlines())):
        fields = next(csv.reader([line], skipinitialspace=True))
        if len(fields) == 4 and fields[0].isdecimal() and fields[1].startswith("GPU-"):
            number, memory = int(fields[0]), fields[3]
            size = int(memory) * MIB if memory.isdecimal() else 0  # "[N/A]" where it is the machine's own
            found[number] = Device(number, fields[1], fields[2], size, "nvidia")
        else:
            complaints.append(line)
    if not found:
        raise Untold(complaints[0])
    for line in complaints:
        say(f"nvidia-smi: {line}")
    return _left(found, "CUDA_VISIBLE_DEVICES", environ)


def amd(told: str, environ: Mapping[str, str], root: Path, first: int) -> list[Device]:
    """What rocm-smi told, in JSON behind its warnings if it has any; they are numbered from `first` on. Untold."""
    _, brace, rest = told.partition("{")
    try:
        cards = json.loads(brace + rest)
        listed = [(int(name[4:]), fields) for name, fields in cards.items() if re.fullmatch(r"card\d+", name)]
        # The order of the kernel's nodes is what ROCR_VISIBLE_DEVICES counts in; older ones do not tell it.
        listed.sort(key=lambda one: (int(one[1].get("Node ID", 0)), one[0]))
    except (ValueError, TypeError, AttributeError):
        raise Untold(told.strip().splitlines()[0]) from None
    unique = [_text(fields, "Unique ID").removeprefix("0x").lower() for _, fields in listed]
    found = {}
    for place, ((card, fields), own) in enumerate(zip(listed, unique, strict=True)):
        path = _render_node(_text(fields, "PCI Bus"), root)
        if not path:
            say(f"rocm-smi tells of card{card}, which has no file in /dev/dri: no task is given it")
            continue
        name = _text(fields, "Card Series", "Card series", "Device Name", "Card Model", "Card model") or "AMD GPU"
        memory = _text(fields, "VRAM Total Memory (B)")
        id_ = f"GPU-{own:0>16}" if own and unique.count(own) == 1 else str(place)
        found[place] = Device(first + place, id_, name, int(memory) if memory.isdecimal() else 0, "amd", path)
    left = _left(found, "ROCR_VISIBLE_DEVICES", environ)
    return _left(dict(enumerate(left)), "HIP_VISIBLE_DEVICES", environ)  # it counts within what the other leaves


def _text(fields: dict[str, Any], *names: str) -> str:
    """The first of these that says something."""
    return next((text for name in names if (text := str(fields.get(name, "")).strip()) not in ("", "N/A")), "")


def _render_node(bus: str, root: Path) -> str:
    """The file of the card at this place of the PCI bus, "" when it has none."""
    nodes = sorted(root.glob(f"sys/bus/pci/devices/{bus.lower()}/drm/renderD*")) if bus else []
    return f"/dev/dri/{nodes[0].name}" if nodes else ""


def _left(found: dict[int, Device], variable: str, environ: Mapping[str, str]) -> list[Device]:
    """What a list of numbers, or of beginnings of ids, leaves of them; what it names that is none ends it."""
    listed = environ.get(variable)
    if listed is None:
        return list(found.values())
    left: dict[int, Device] = {}
    for word in map(str.strip, listed.split(",")):
        meant = [
            number
            for number, one in found.items()
            if (number == int(word) if word.isdecimal() else word and one.id.startswith(word))
        ]
        if len(meant) != 1:
            break
        left[meant[0]] = found[meant[0]]
    if len(left) < len(found):
        say(f"{variable}={listed} leaves {len(left)} of {len(found)} GPUs to tasks")
    return list(left.values())


def _answer(words: tuple[str, ...], root: Path, environ: Mapping[str, str], patience: float) -> str:
    """What a program says, "" when it is not here. Untold when it says nothing, or not in time."""
    program = shutil.which(words[0], path=f"{environ.get('PATH', os.defpath)}{os.pathsep}{ELSEWHERE}")
    if program is None:
        if trace := next((trace for trace in TRACES[words[0]] if (root / trace).exists()), ""):
            raise Untold(f"/{trace} is here, but that program is not")
        return ""
    try:
        process = subprocess.Popen(
            [program, *words[1:]],
            env={**environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except OSError as problem:
        raise Untold(f"it cannot be started: {problem}") from None
    try:
        out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        # Not waited for long: in the hands of a driver that hangs, a process does not die of being killed.
        os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
        raise Untold(f"it does not answer within {patience:g} s; does the driver hang?") from None
    if told := out.strip() or err.strip():
        return told
    raise Untold(f"it said nothing, and ended with exit code {process.returncode}")
