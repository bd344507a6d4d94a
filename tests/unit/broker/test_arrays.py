"""Rows of an array, and what of one is refused."""

import msgspec
import pytest

from scitq import wire
from scitq.broker.tasks import Lane, expand
from scitq.model import Array, Range, Spec
from scitq.needs import PLAIN
from tests.pure_broker import PureBroker


def template(*command: str | bytes, **fields: object) -> Spec:
    return Spec(command=command, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("columns", "word", "row", "filled"),
    [
        ({"n": Range(5, 2)}, "{n}", 3, "11"),
        ({"n": Range(0, -1)}, "x{n}y", 2, "x-2y"),
        ({"n": (7, 8)}, "{n}", 1, "8"),
        ({"n": ("a", "b")}, "{n}{n}", 1, "bb"),
        ({"n": ("a",)}, "{m}", 0, "{m}"),
        ({"n": ("a",)}, "{}{n", 0, "{}{n"),
        ({"n": ("{n}",)}, "{n}", 0, "{n}"),
        ({"n": (b"\xff",)}, "{n}", 0, b"\xff"),
        ({"n": (b"\xff",)}, "x{n}", 0, b"x\xff"),
        ({"n": (b"ok",)}, "x{n}", 0, "xok"),
        ({"n": ("a",)}, b"{n}\xff", 0, b"{n}\xff"),
    ],
)
def test_a_word_is_filled(columns: dict[str, object], word: str | bytes, row: int, filled: str | bytes) -> None:
    array = Array(template=template("echo", word), count=9, columns=columns)  # type: ignore[arg-type]
    spec = expand(array, row)
    assert spec.command == ("echo", filled)
    assert wire.unpack_spec(wire.pack_spec(spec)) == spec


def test_every_text_of_the_template_is_filled() -> None:
    spec = template(
        "c", name="n{x}", inputs=("/i{x}",), resources=("/r{x}",), output="/o{x}", env={"K": "{x}"}, batch="b{x}"
    )
    row = expand(Array(template=spec, count=2, columns={"x": Range(1, 1)}), 1)
    assert (row.name, row.inputs, row.resources, row.output, row.env) == ("n2", ("/i2",), ("/r2",), "/o2", {"K": "2"})
    assert row.batch == "b{x}", "a batch and a priority are those of the whole array"


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (Array(template=template("c"), count=0), "an array has 1 to"),
        (Array(template=template("c"), count=10_000_001), "an array has 1 to"),
        (Array(template=template("c"), count=2, columns={"n": ("a",)}), "column n has 1 values for 2 tasks"),
        (Array(template=template(), count=1), "the command is empty"),
        (Array(template=template("c", name="{n}"), count=1, columns={"n": (b"\xff",)}), "n"),
        (Array(template=template("{n}"), count=2, columns={"n": ("a", "")}), "program"),
        (Array(template=template("c", "{n}"), count=2, columns={"n": ("a", "\0")}), "NUL"),
    ],
)
def test_what_cannot_be_is_refused(array: Array, problem: str) -> None:
    broker = PureBroker()
    (send,) = broker.ask(wire.Submit(id=1, request="r", array=array))
    assert isinstance(send.message, wire.Error), send
    assert problem in send.message.error["message"]
    assert broker.state.tasks.next == 1


def test_an_array_of_a_million_is_one_run() -> None:
    broker = PureBroker()
    broker.strict = False
    array = Array(template=template("echo", "{n}"), count=1_000_000, columns={"n": Range(0, 1)})
    broker.ask(wire.Submit(id=1, request="r", array=array))
    assert broker.state.batches["Default"].queues[Lane(0, PLAIN)].runs() == (1, 1_000_000)
    assert broker.state.tasks.spec(1_000_000).command == ("echo", "999999")


def test_an_array_is_a_submit_of_its_own() -> None:
    broker = PureBroker()
    spec = msgspec.Raw(wire.pack_spec(template("c")))
    array = Array(template=template("c"), count=2)
    broker.ask(wire.Submit(id=1, request="r", part=0, last=False, specs=(spec,)))
    (send,) = broker.ask(wire.Submit(id=1, request="r", part=1, array=array))
    assert isinstance(send.message, wire.Error)
    (send,) = broker.ask(wire.Submit(id=1, request="q", specs=(spec,), array=array))
    assert isinstance(send.message, wire.Error)
    assert "not both" in send.message.error["message"]
