"""What a task asks of its worker beside a slot: pure rules, for whoever takes, places or starts it."""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from scitq import container
from scitq.model import MIB, Spec

ALL_GPUS = -1.0  # every GPU of the worker, one at least
LEAST_MEM = 6 * MIB  # docker starts nothing with less
MOST_CPU = 4_096
MOST_GPU = 1_024
MOST_BYTES = 2**53


class Needs(NamedTuple):
    """What tasks can be told apart by when they are placed.

    `cpu` in cores, 0 for what a slot has; `mem` and `disk` in bytes, 0 for whatever comes; `gpu` a whole number, a
    share of one below 1, or ALL_GPUS.
    """

    container: bool = False
    cpu: float = 0.0
    mem: int = 0
    gpu: float = 0.0
    disk: int = 0

    @property
    def asks(self) -> bool:
        """Whether more is asked than a slot, and a container engine."""
        return self is not PLAIN and self is not CONTAINED and self[1:] != PLAIN[1:]


PLAIN = Needs()
CONTAINED = Needs(container=True)


class Request(Struct):
    """The fields of a specification that say what it needs."""

    container: str = ""
    container_options: str = ""
    cpu: float | None = None
    mem: int | None = None
    gpu: float | None = None
    disk: int | None = None


def needs_of(spec: Spec | Request) -> Needs:
    """What a task of this specification needs."""
    gpu = spec.gpu or (ALL_GPUS if "--gpus" in spec.container_options and _asks_docker_for_gpus(spec) else 0.0)
    needs = Needs(bool(spec.container), spec.cpu or 0.0, spec.mem or 0, gpu, spec.disk or 0)
    if needs.asks:
        return needs
    return CONTAINED if needs.container else PLAIN


def fits(needs: Needs, cpus: int, memory: int, gpus: int, disk: int) -> bool:
    """Whether a worker that has so much has enough of all that is asked, when it runs nothing else."""
    return (
        needs.cpu <= cpus
        and needs.mem <= memory
        and (1 if needs.gpu == ALL_GPUS else needs.gpu) <= gpus
        and needs.disk <= disk
    )


def refusals(spec: Spec) -> Iterator[str]:
    """Why no worker could ever meet what this task asks for, one line each."""
    if spec.cpu is not None and not 0 < spec.cpu <= MOST_CPU:
        yield f"--cpu {spec.cpu:g}: give cores, above 0 and at most {MOST_CPU}"
    if spec.mem is not None and not LEAST_MEM <= spec.mem <= MOST_BYTES:
        yield f"--mem {spec.mem}: give at least {LEAST_MEM // MIB}M, as in 500M or 16G"
    if spec.gpu is not None and not (0 < spec.gpu < 1 or (1 <= spec.gpu <= MOST_GPU and spec.gpu == int(spec.gpu))):
        yield f"--gpu {spec.gpu:g}: give a whole number of GPUs, or a share of one as in 0.5"
    if spec.disk is not None and not 0 < spec.disk <= MOST_BYTES:
        yield f"--disk {spec.disk}: give bytes above 0, as in 50G"
    if spec.gpu is not None and _asks_docker_for_gpus(spec):
        yield "--gpu and -O '--gpus …' contradict each other: --gpu alone gives the container the GPUs assigned to it"


def _asks_docker_for_gpus(spec: Spec | Request) -> bool:
    """Whether the options for docker choose GPUs: which ones is docker's to say then, so the task has them all."""
    return bool(container.asks_for(spec.container_options, "--gpus"))
