"""What a column's value becomes in the words and texts of an array's template."""

import msgpack
import pytest

from scitq import wire
from scitq.broker.commands import Decision, Peer
from scitq.broker.rules.submit import submit
from scitq.broker.state import State
from scitq.broker.tasks import expand
from scitq.errors import UsageError
from scitq.model import Array, Range, Spec

BYTES: dict[str, tuple[str | bytes | int, ...] | Range] = {"w": (b"\xff", "é")}


def test_bytes_inside_a_word_make_it_bytes() -> None:
    array = Array(template=Spec(command=("a-{w}", "{w}", "{v}", "plain"), env={"A": "{w}="}), count=2, columns=BYTES)
    assert expand(array, 0).command == (b"a-\xff", b"\xff", "{v}", "plain")
    assert expand(array, 0).env == {"A": b"\xff="}
    assert expand(array, 1).command == ("a-é", "é", "{v}", "plain")
    assert msgpack.unpackb(wire.pack_spec(expand(array, 0)))["command"][0] == b"a-\xff"


def test_a_range_counts() -> None:
    array = Array(template=Spec(command=("x{n}",), name="{n}"), count=3, columns={"n": Range(5, -2)})
    assert [(expand(array, row).command, expand(array, row).name) for row in range(3)] == [
        (("x5",), "5"),
        (("x3",), "3"),
        (("x1",), "1"),
    ]


@pytest.mark.parametrize("field", ["name", "output", "inputs", "resources"])
def test_bytes_in_what_must_be_text_are_refused_in_any_row(field: str) -> None:
    text = "/data/{w}"
    template = Spec(command=("true",), **{field: text if field in {"name", "output"} else (text,)})  # type: ignore[arg-type]
    array = Array(template=template, count=2, columns={"w": ("é", b"\xff")})
    peer = Peer(b"", "user", "ann")
    with pytest.raises(UsageError, match="column w holds bytes"):
        submit(State(), peer, wire.Submit(id=1, request="r", array=array), Decision())
