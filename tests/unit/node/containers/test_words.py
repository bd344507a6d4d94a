"""The words that docker is given."""

import csv
import io
from itertools import pairwise

import pytest

from scitq.node.containers.answers import EngineRefused
from scitq.node.containers.words import Owner, create, taken
from scitq.node.orders import ContainerOrder

OWNER = Owner("mesh", "worker", "/scratch")
DOCKER = "docker 28.2.2"


def order(**fields: object) -> ContainerOrder:
    known: dict[str, object] = {
        "name": "7.2", "image": "tiny:1", "options": "", "command": ["ls", "-l"], "env": {"CPU": "2"},
        "folder": "/scratch/tasks/7.2",
    }  # fmt: skip
    return ContainerOrder(**{**known, **fields})  # type: ignore[arg-type]


def test_the_image_and_its_command_come_last_behind_a_stop() -> None:
    words = create(order(command=["--opt", ""]), OWNER, DOCKER)
    assert words[-4:] == ["--", "tiny:1", "--opt", ""]
    assert words[:3] == ["create", "--name", "scitq-mesh-7.2"]


def test_what_must_hold_stands_behind_the_words_of_the_user() -> None:
    words = create(
        order(options="--rm --log-opt max-size=1 -l scitq.mesh=x -it --pull-me 'a b'", user="1:2", cpu=1.5, mem=7),
        OWNER,
        DOCKER,
    )
    begin, end = words.index("--rm"), words.index("a b")
    assert words.index("--user") < begin
    for ours in (
        "--rm=false",
        "--pull",
        "--interactive=false",
        "--log-driver",
        "--cpus",
        "--memory",
        "scitq.mesh=mesh",
    ):
        assert words.index(ours) > end


def test_parts_are_mounted_and_resources_cannot_be_written() -> None:
    words = create(order(folder='/a,b"c', data="/nfs"), OWNER, DOCKER)
    mounts = [next(csv.reader(io.StringIO(words[at + 1]))) for at, word in enumerate(words) if word == "--mount"]
    assert mounts == [
        ["type=bind", 'source=/a,b"c/input', "target=/input"],
        ["type=bind", 'source=/a,b"c/output', "target=/output"],
        ["type=bind", 'source=/a,b"c/resource', "target=/resource", "readonly"],
        ["type=bind", 'source=/a,b"c/tmp', "target=/tmp"],
        ["type=bind", "source=/nfs", "target=/data"],
    ]


def test_limits_are_dockers_own() -> None:
    words = create(order(cpu=0.5, mem=64 << 20), OWNER, DOCKER)
    for option, value in (("--cpus", "0.5"), ("--memory", "67108864"), ("--memory-swap", "67108864")):
        assert words[words.index(option) + 1] == value
    assert not {"--cpus", "--memory", "--memory-swap"} & set(create(order(), OWNER, DOCKER))


def gpus(**fields: object) -> list[str]:
    """The words about devices, and the variables."""
    engine = str(fields.pop("engine", DOCKER))
    words = create(order(**fields), OWNER, engine)
    return [
        word
        for option, value in pairwise(words)
        if option in ("--gpus", "--device", "-e")
        for word in (option, value)
    ]


CARDS = ("nvidia.com/gpu=GPU-c7b57be0", "nvidia.com/gpu=GPU-d6de6afc")


def test_exactly_the_assigned_cards_are_asked_for() -> None:
    words = gpus(devices=CARDS, env={"CUDA_VISIBLE_DEVICES": "1"})
    assert words[:4] == ["--gpus", '"device=GPU-c7b57be0,GPU-d6de6afc"', "-e", "CUDA_VISIBLE_DEVICES=0,1"]
    assert words[4:] == ["-e", "CUDA_VISIBLE_DEVICES=1"]  # the last wins, and it is the user's
    assert gpus(env={}) == []


def test_files_are_given_as_they_are() -> None:
    words = gpus(devices=("/dev/kfd", "/dev/dri/renderD128"), env={}, engine="podman 4.3.1")
    assert words == ["--device", "/dev/kfd", "--device", "/dev/dri/renderD128"]


def test_podman_is_asked_by_the_names_of_the_interface() -> None:
    words = gpus(devices=CARDS, env={}, engine="podman 5.4.0-dev")
    assert words[:2] == ["--gpus", f'driver=cdi,"device={",".join(CARDS)}"']


@pytest.mark.parametrize("engine", ["podman 4.3.1", "podman 5.3.2"])
def test_a_podman_that_would_give_none_is_not_asked(engine: str) -> None:
    with pytest.raises(EngineRefused, match=rf"^{engine} gives containers no GPU"):
        gpus(devices=CARDS, engine=engine)


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
