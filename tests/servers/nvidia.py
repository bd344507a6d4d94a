"""A machine with NVIDIA GPUs, but for the GPUs: a stand-in for nvidia-smi, an engine that takes requests for them."""

import os
from pathlib import Path

from tests.servers.dockerd import Dockerd

CARD = "Tesla T4"
NGC = "nvcr.io/nvidia/pytorch:23.05-py3"
UUIDS = (
    "GPU-c7b57be0-94ff-d352-a59b-d0ee00aeed43",
    "GPU-d6de6afc-bdfe-75c4-5273-0544439153fc",
    "GPU-5e375e7e-b41f-155b-dcdc-534524c356fc",
    "GPU-69ec2344-ebac-b028-f88f-452abb3d7f11",
)


def nvidia_smi(folder: Path, count: int, before: str = "") -> None:
    """A program of that name in this folder, which answers what it is asked as on a machine with so many cards.

    `before`: what else it does first.
    """
    listed = "".join(f"{number}, {uuid}, {CARD}, 15360\n" for number, uuid in enumerate(UUIDS[:count]))
    _program(
        folder / "nvidia-smi",
        'test "$*" = "--query-gpu=index,uuid,name,memory.total --format=csv,noheader,nounits" || exit 2\n'
        f"{before}\ncat <<'END'\n{listed}END",
    )


class NvidiaDockerd(Dockerd):
    """An engine that believes NVIDIA's container toolkit to be installed.

    A container has in its NVIDIA_VISIBLE_DEVICES what was asked for, and no device: the hook that would add it does
    nothing.
    """

    def _serve(self, *words: str, **environ: str) -> None:
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        _program(programs / "nvidia-container-runtime-hook", "exit 0")
        super()._serve(*words, **environ, PATH=f"{programs}:{os.environ['PATH']}")

    def add_ngc_image(self) -> None:
        """An image of NVIDIA's by name, whose nvidia-smi (the toolkit would bring one) lists what was asked for."""
        listed = "".join(
            f"case $NVIDIA_VISIBLE_DEVICES in all|*{uuid}*) echo 'GPU {number}: {CARD} (UUID: {uuid})';; esac\n"
            for number, uuid in enumerate(UUIDS[:2])
        )
        _program(self.folder / "root" / "bin" / "nvidia-smi", listed)
        self.add_image(NGC)


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
