"""What a task asks of its worker."""

import pytest

from scitq.model import Spec
from scitq.needs import ALL_GPUS, Needs, needs_of, refusals


def test_what_is_not_asked_for_is_nothing() -> None:
    assert needs_of(Spec(command=("true",))) == Needs()
    assert not Needs(container=True).asks
    asked = Spec(command=("true",), cpu=1.5, mem=1 << 30, gpu=2.0, disk=5)
    assert needs_of(asked) == Needs(cpu=1.5, mem=1 << 30, gpu=2.0, disk=5)
    assert needs_of(asked).asks


@pytest.mark.parametrize(
    ("options", "gpu"),
    [
        ("--gpus all", ALL_GPUS),
        ("--rm --gpus=2", ALL_GPUS),
        ("""--gpus '"device=0,2"'""", ALL_GPUS),
        ("-e --gpus", 0.0),
        ("--label x=--gpus", 0.0),
        ("--gpus 'all", 0.0),  # refused as a whole
    ],
)
def test_who_lets_docker_choose_gpus_has_them_all(options: str, gpu: float) -> None:
    assert needs_of(Spec(container="a", container_options=options)).gpu == gpu


def test_gpus_are_chosen_by_one_of_them() -> None:
    (problem,) = refusals(Spec(container="a", container_options="--gpus all", gpu=1.0))
    assert problem.startswith("--gpu and -O '--gpus …' contradict each other")
    assert not list(refusals(Spec(container="a", container_options="--gpus all")))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"cpu": 0.0}, "--cpu 0:"),
        ({"cpu": 5000.0}, "--cpu 5000:"),
        ({"mem": 1 << 20}, "--mem 1048576:"),
        ({"gpu": 0.0}, "--gpu 0:"),
        ({"gpu": 1.5}, "--gpu 1.5:"),
        ({"gpu": -1.0}, "--gpu -1:"),
        ({"gpu": float("inf")}, "--gpu inf:"),
        ({"gpu": float("nan")}, "--gpu nan:"),
        ({"cpu": float("nan")}, "--cpu nan:"),
        ({"disk": 0}, "--disk 0:"),
    ],
)
def test_what_no_worker_could_ever_give_is_refused(asked: dict[str, float], told: str) -> None:
    (problem,) = refusals(Spec(command=("true",), **asked))  # type: ignore[arg-type]
    assert problem.startswith(told)
