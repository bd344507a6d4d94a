"""Which tasks can have a container at all."""

import pytest

from scitq.container import refusals, refused_option
from scitq.model import Spec


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--rm",
        "-it",
        "--gpus all -v /a:/b -e D=-d",
        "-v -d:/b",  # a value may look like an option
        "-e -d",
        "--memory-swap -1 -m 32m",
        "--network=none --entrypoint ''",
        "-P -h name",
        "--pull-me-not",
        "--namespace=x",
    ],
)
def test_what_docker_itself_parses_passes(options: str) -> None:
    assert refused_option(options) == ""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("-d", "-d is refused"),
        ("-itd", "-itd is refused"),
        ("-dit", "-dit is refused"),
        ("--detach=true", "--detach=true is refused"),
        ("--rm --name x", "--name is refused"),
        ("--memory-swap -1 --name x", "--name is refused"),
        ("-e A=b --name=x", "--name=x is refused"),
        ("--cidfile /x", "--cidfile is refused"),
        ("--restart always", "--restart is refused"),
        ("--pull=always", "--pull=always is refused"),
        ("--log-driver none", "--log-driver is refused"),
        ("ubuntu --rm", "'ubuntu' is no option"),
        ("--rm -- x", "-- would end the options"),
        ("-e 'A", "cannot be split into words"),
        ("-e 'A\0'", "NUL"),
    ],
)
def test_what_would_take_the_container_out_of_our_hands_is_refused(options: str, told: str) -> None:
    assert told in refused_option(options)


def test_words_and_variables_must_be_text() -> None:
    assert list(refusals(Spec(container="a", command=("é", "日本")))) == []
    assert list(refusals(Spec(container="a", command=(b"\xff",))))
    assert list(refusals(Spec(container="a", env={"A": b"\xff"})))
    assert not list(refusals(Spec(command=(b"\xff",))))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--rm --memory 8g", "--mem and -O '--memory …'"),
        ("--memory=8g", "--mem and -O '--memory=8g …'"),
        ("-m 8g", "--mem and -O '-m …'"),
        ("-itm8g", "--mem and -O '-itm8g …'"),
        ("--memory-swap -1", "--mem and -O '--memory-swap …'"),
        ("--cpus 2", "--cpu and -O '--cpus …'"),
        ("--cpu-quota=5000", "--cpu and -O '--cpu-quota=5000 …'"),
    ],
)
def test_what_is_asked_of_the_worker_is_not_asked_of_docker_too(options: str, told: str) -> None:
    (problem,) = refusals(Spec(container="a", cpu=1.5, mem=1 << 30, container_options=options))
    assert problem.startswith(told)
    assert not list(refusals(Spec(container="a", gpu=1.0, disk=1, container_options=options)))


@pytest.mark.parametrize(
    "options", ["", "--memory-reservation 1g -c 5 --cpuset-cpus 0", "-e -m -h --cpus --shm-size 1g"]
)
def test_other_options_go_with_what_is_asked_of_the_worker(options: str) -> None:
    assert not list(refusals(Spec(container="a", cpu=1.5, mem=1 << 30, container_options=options)))


@pytest.mark.parametrize("image", ["-x", "a b", "a\n"])
def test_a_name_that_no_image_has_is_refused(image: str) -> None:
    assert list(refusals(Spec(container=image)))
