"""The words that docker is given."""

import csv
import io

import pytest

from scitq.node.containers.words import Owner, create, taken
from scitq.node.orders import ContainerOrder

OWNER = Owner("mesh", "worker", "/scratch")


def order(**fields: object) -> ContainerOrder:
    known: dict[str, object] = {
        "name": "7.2", "image": "tiny:1", "options": "", "command": ["ls", "-l"], "env": {"CPU": "2"},
        "folder": "/scratch/tasks/7.2",
    }  # fmt: skip
    return ContainerOrder(**{**known, **fields})  # type: ignore[arg-type]


def test_the_image_and_its_command_come_last_behind_a_stop() -> None:
    words = create(order(command=["--opt", ""]), OWNER)
    assert words[-4:] == ["--", "tiny:1", "--opt", ""]
    assert words[:3] == ["create", "--name", "scitq-mesh-7.2"]


def test_what_must_hold_stands_behind_the_words_of_the_user() -> None:
    words = create(order(options="--rm --log-opt max-size=1 -l scitq.mesh=x -it --pull-me 'a b'", user="1:2"), OWNER)
    begin, end = words.index("--rm"), words.index("a b")
    assert words.index("--user") < begin
    for ours in ("--rm=false", "--pull", "--interactive=false", "--log-driver", "scitq.mesh=mesh"):
        assert words.index(ours) > end


def test_parts_are_mounted_and_resources_cannot_be_written() -> None:
    words = create(order(folder='/a,b"c', data="/nfs"), OWNER)
    mounts = [next(csv.reader(io.StringIO(words[at + 1]))) for at, word in enumerate(words) if word == "--mount"]
    assert mounts == [
        ["type=bind", 'source=/a,b"c/input', "target=/input"],
        ["type=bind", 'source=/a,b"c/output', "target=/output"],
        ["type=bind", 'source=/a,b"c/resource', "target=/resource", "readonly"],
        ["type=bind", 'source=/a,b"c/tmp', "target=/tmp"],
        ["type=bind", "source=/nfs", "target=/data"],
    ]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (OWNER.labels("7.2"), True),
        ({**OWNER.labels("7.2"), "of": "the image"}, True),
        ({**OWNER.labels("7.2"), "scitq.attempt": "3"}, False),
        ({}, False),
    ],
)
def test_labels_tell_whether_docker_took_our_words(labels: dict[str, str], found: bool) -> None:
    assert taken(order(), OWNER, labels) is found


def test_labels_tell_mesh_worker_task_and_attempt() -> None:
    assert OWNER.labels("7.2.3") == {
        "scitq.mesh": "mesh",
        "scitq.worker": "worker",
        "scitq.scratch": "/scratch",
        "scitq.task": "7",
        "scitq.attempt": "2",
    }
