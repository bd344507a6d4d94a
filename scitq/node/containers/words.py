"""The words after `docker` that make the container of a task. Pure.

What must hold whatever `-O` says stands after it: docker takes the last. Of labels set there it is known after the
making whether they were taken at all, or lie behind a word of `-O` that docker took for the image.
"""

import shlex
from collections.abc import Mapping
from typing import NamedTuple

from scitq.node.orders import ContainerOrder

INSIDE = {"input": "/input", "output": "/output", "resource": "/resource", "tmp": "/tmp"}  # noqa: S108 - in there
LABEL = "scitq."
NO_ROTATION = "max-size=1000000g"  # whatever the engine's own settings say: the log is read to its end


class Owner(NamedTuple):
    """Whose containers these are: a mesh, a worker of it, and the scratch folder that it holds locked."""

    mesh: str
    worker: str
    scratch: str

    def name(self, attempt: str) -> str:
        """The name of the container of an attempt: a second one of it cannot be made."""
        return f"scitq-{self.mesh or 'nomesh'}-{attempt}"

    def labels(self, attempt: str = "") -> dict[str, str]:
        """What its containers carry, and with an attempt, what that one's does."""
        labels = {f"{LABEL}{key}": value for key, value in self._asdict().items()}
        if attempt:
            task, number = attempt.split(".")[:2]
            labels |= {f"{LABEL}task": task, f"{LABEL}attempt": number}
        return labels


def create(order: ContainerOrder, owner: Owner) -> list[str]:
    """The words for one attempt."""
    words = ["create", "--name", owner.name(order.name)]
    for part, inside in INSIDE.items():
        words += ["--mount", _bind(f"{order.folder}/{part}", inside, read_only=part == "resource")]
    if order.data:
        words += ["--mount", _bind(order.data, "/data")]
    for name, value in order.env.items():
        words += ["-e", f"{name}={value}"]
    if order.user:
        words += ["--user", order.user]
    words += shlex.split(order.options)
    words += ["--rm=false", "--pull", "never", "--interactive=false"]
    words += ["--log-driver", "json-file", "--log-opt", NO_ROTATION]
    for name, value in owner.labels(order.name).items():
        words += ["--label", f"{name}={value}"]
    return [*words, "--", order.image, *order.command]


def taken(order: ContainerOrder, owner: Owner, labels: Mapping[str, str]) -> bool:
    """Whether docker took our words for options, and not for a command."""
    return owner.labels(order.name).items() <= labels.items()


def _bind(source: str, target: str, *, read_only: bool = False) -> str:
    """A mount as docker reads it: fields of a line of CSV."""
    fields = ["type=bind", f"source={source}", f"target={target}"]
    if read_only:
        fields.append("readonly")
    return ",".join('"' + field.replace('"', '""') + '"' if set(field) & set(',"') else field for field in fields)
