"""What is refused at submit, each in one line that says what and what to do."""

import re
from typing import Any

import pytest
from msgspec import Raw

from scitq import wire
from scitq.broker.rules.submit import check_batch_name, check_spec
from scitq.errors import NotFound, UsageError
from scitq.model import Spec
from tests.pure_broker import PureBroker


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"command": ()}, "the command is empty"),
        ({"command": ("",)}, "the program's name is empty"),
        ({"command": ("a", "b\0c")}, "NUL"),
        ({"command": ("a", b"b\0c")}, "NUL"),
        ({"container": "alpine", "container_options": "--restart=always"}, "--restart=always is refused"),
        ({"container": "alpine", "command": (b"\xff",)}, "UTF-8 only"),
        ({"container_options": "--rm"}, "need an image"),
        ({"batch": ""}, "no name for a batch"),
        ({"batch": "*"}, "no name for a batch"),
        ({"batch": "a\nb"}, "no name for a batch"),
        ({"batch": "x" * 201}, "no name for a batch"),
        ({"retry": -1}, "retry is -1"),
        ({"run_timeout": 0.0}, "run_timeout is 0.0"),
        ({"run_timeout": float("nan")}, "run_timeout is nan"),
        ({"download_timeout": -1.0}, "download_timeout is -1.0"),
        ({"log_limit": -1}, "log_limit is -1"),
        ({"uid": -1}, "uid is -1"),
        ({"gid": -1}, "gid is -1"),
        ({"uid": 2**32 - 1}, "uid is 4294967295: give 0 to 4294967294"),
        ({"gid": 2**40}, "gid is 1099511627776"),
        ({"priority": 2**31}, "priority is 2147483648"),
        ({"priority": -(2**63)}, "priority is -9223372036854775808"),
        ({"retry": 2**31}, "retry is 2147483648"),
        ({"log_limit": 2**53 + 1}, "log_limit is 9007199254740993"),
        ({"run_timeout": float("inf")}, "run_timeout is inf"),
        ({"download_timeout": 1e300}, "download_timeout is 1e\\+300"),
        ({"env": {"": "x"}}, "no name for an environment variable"),
        ({"env": {"A=B": "x"}}, "no name for an environment variable"),
        ({"env": {"A\0": "x"}}, "no name for an environment variable"),
        ({"env": {"A": "x\0"}}, "NUL"),
        ({"inputs": ("nowhere://x",)}, "input nowhere://x"),
        ({"resources": ("nowhere://x",)}, "resource nowhere://x"),
        ({"output": "nowhere://x"}, "output nowhere://x"),
    ],
)
def test_what_could_never_run_is_refused(fields: dict[str, Any], problem: str) -> None:
    spec = Spec(**{"command": ("true",), **fields})
    with pytest.raises(UsageError, match=problem) as caught:
        check_spec(PureBroker().state, spec)
    assert "\n" not in str(caught.value)


def test_a_task_that_is_required_must_exist() -> None:
    with pytest.raises(NotFound, match="requires task 3, which does not exist"):
        check_spec(PureBroker().state, Spec(command=("true",), requires=(3,)))


@pytest.mark.parametrize("name", ["Default", "x", "a b", "été", "x" * 200])
def test_names_of_batches(name: str) -> None:
    check_batch_name(name)


SPEC = Raw(wire.pack_spec(Spec(command=("true",))))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"request": ""}, "request"),
        ({"request": "x" * 201}, "request"),
        ({"part": -1}, "counts from 0"),
        ({"specs": (SPEC,) * 5_001}, "at most 5000"),
        ({"specs": (SPEC, Raw(b"\xc1"))}, "task 1 of part 0"),
        ({"specs": (Raw(b"\x80"),)}, "the command is empty"),
        ({}, "without any task"),
        ({"part": 3, "specs": (SPEC,)}, r"parts \[0, 1, 2\] of this submit never came"),
    ],
)
def test_a_submit_that_cannot_be(fields: dict[str, Any], problem: str) -> None:
    broker = PureBroker()
    entries = len(broker.entries)
    (send,) = broker.ask(wire.Submit(**{"id": 1, "request": "r", **fields}))
    assert isinstance(send.message, wire.Error)
    assert re.search(problem, send.message.error["message"])
    assert len(broker.entries) == entries


def test_a_part_far_ahead_is_refused_at_once() -> None:
    broker = PureBroker()
    spec = Raw(wire.pack_spec(Spec(command=("true",))))
    (send,) = broker.ask(wire.Submit(id=1, request="r", part=2**63, specs=(spec,)))
    assert isinstance(send.message, wire.Error)
    assert "parts [0, 1, 2, 3, 4] of this submit never came" in send.message.error["message"]
