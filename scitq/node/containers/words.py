"""The words after `docker` that make the container of a task. Pure.

What must hold whatever `-O` says stands after it: docker takes the last. Of labels set there it is known after the
making whether they were taken at all, or lie behind a word of `-O` that docker took for the image.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scitq.node.containers.answers import EngineRefused
from scitq.node.gpus import CDI
from scitq.node.orders import ContainerOrder

INSIDE = {"input": "/input", "output": "/output", "resource": "/resource", "tmp": "/tmp"}  # noqa: S108 - in there
LABEL = "scitq."
PODMAN_WITH_GPUS = (5, 4)  # when asked as docker is; before it takes the words and gives nothing
NO_ROTATION = "max-size=1000000g"  # whatever the engine's own settings say: the log is read to its end


class Owner(NamedTuple):
    """Whose containers these are: a mesh, a worker of it, and the scratch folder that it holds locked."""

    mesh: str
    worker: str
    scratch: str

    def name(self, attempt: str) -> str:
        """The name of the container of an attempt: a second one of it cannot be made."""
        return f"scitq-{self.mesh or 'nomesh'}-{attempt}"

    def group(self, attempt: str) -> str:
        """The control group above that container's own; without an attempt, how the names of all of them begin."""
        return f"/scitq-container-{self.worker}-{self.mesh or 'nomesh'}-{attempt}"

    def labels(self, attempt: str = "") -> dict[str, str]:
        """What its containers carry, and with an attempt, what that one's does."""
        labels = {f"{LABEL}{key}": value for key, value in self._asdict().items()}
        if attempt:
            task, number = attempt.split(".")[:2]
            labels |= {f"{LABEL}task": task, f"{LABEL}attempt": number}
        return labels


def create(order: ContainerOrder, owner: Owner, engine: str, group: str = "") -> list[str]:
    """The words for one attempt; `engine` by kind and version. EngineRefused when it cannot give what is ordered.

    `group`: the control group to be made above the container's own, "" for the engine's.
    """
    words = ["create", "--name", owner.name(order.name)]
    if group:
        words += ["--cgroup-parent", group]
    for part, inside in INSIDE.items():
        words += ["--mount", _bind(f"{order.folder}/{part}", inside, read_only=part == "resource")]
    if order.data:
        words += ["--mount", _bind(order.data, "/data")]
    words += _devices(order.devices, engine)
    for name, value in order.env.items():
        words += ["-e", f"{name}={value}"]
    if order.user:
        words += ["--user", order.user]
    words += shlex.split(order.options)
    words += ["--rm=false", "--pull", "never", "--interactive=false"]
    if order.cpu:
        words += ["--cpus", f"{order.cpu:g}"]
    if order.mem:
        words += ["--memory", str(order.mem), "--memory-swap", str(order.mem)]  # no swap on top
    words += ["--log-driver", "json-file", "--log-opt", NO_ROTATION]
    for name, value in owner.labels(order.name).items():
        words += ["--label", f"{name}={value}"]
    return [*words, "--", order.image, *order.command]


def taken(order: ContainerOrder, owner: Owner, labels: Mapping[str, str]) -> bool:
    """Whether docker took our words for options, and not for a command."""
    return owner.labels(order.name).items() <= labels.items()


def _devices(names: Sequence[str], engine: str) -> list[str]:
    """Files are given as such, NVIDIA's cards by a line of CSV; in there CUDA counts from 0 what it was given."""
    words = [word for name in names if name.startswith("/") for word in ("--device", name)]
    cards = [name for name in names if name.startswith(CDI)]
    if not cards:
        return words
    if engine.startswith("podman"):
        if _version(engine) < PODMAN_WITH_GPUS:
            raise EngineRefused(f"{engine} gives containers no GPU when it is asked as docker is; podman 5.4 does")
        asked = f'driver=cdi,"device={",".join(cards)}"'
    else:
        asked = f'"device={",".join(card.removeprefix(CDI) for card in cards)}"'
    return [*words, "--gpus", asked, "-e", f"CUDA_VISIBLE_DEVICES={','.join(map(str, range(len(cards))))}"]


def _version(engine: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", engine)[:2])


def _bind(source: str, target: str, *, read_only: bool = False) -> str:
    """A mount as docker reads it: fields of a line of CSV."""
    fields = ["type=bind", f"source={source}", f"target={target}"]
    if read_only:
        fields.append("readonly")
    return ",".join('"' + field.replace('"', '""') + '"' if set(field) & set(',"') else field for field in fields)
