from pathlib import Path
from typing import Any

import msgspec
import pytest

from scitq import wire
from scitq.client import specs
from scitq.errors import UsageError
from scitq.model import Array, Changes, Range, Spec


def test_words_keep_every_byte() -> None:
    command: list[Any] = ["ls", b"caf\xc3\xa9", "caf\udce9", b"\xff", Path("a b"), "", "\udcc3\udca9"]
    assert specs.words(command) == ("ls", "café", b"caf\xe9", b"\xff", "a b", "", "é")


@pytest.mark.parametrize("text", ["ls -l", b"ls", Path("ls"), 3, None])
def test_a_command_is_a_list(text: Any) -> None:
    with pytest.raises(UsageError, match=r"list of words.*'sh', '-c'"):
        specs.words(text)


@pytest.mark.parametrize("word", [3, None, "a\0b", b"\0", "\ud800", ["x"]])
def test_what_is_no_word(word: Any) -> None:
    with pytest.raises(UsageError, match="command: "):
        specs.words(["ls", word])


def test_options_become_a_specification() -> None:
    made = specs.build(
        Spec,
        {
            "command": ["true"],
            "inputs": [Path("/data/a"), "s3://b/c"],
            "env": {"A": "1", "B": b"\xff"},
            "output": Path("/out"),
            "requires": range(3, 5),
            "retry": 2,
            "run_timeout": 1.5,
            "cpu": 2,
            "mem": 16 << 30,
            "gpu": 0.5,
            "disk": 1 << 40,
        },
    )
    assert made == Spec(
        command=("true",),
        inputs=("/data/a", "s3://b/c"),
        env={"A": "1", "B": b"\xff"},
        output="/out",
        requires=(3, 4),
        retry=2,
        run_timeout=1.5,
        cpu=2.0,
        mem=17_179_869_184,
        gpu=0.5,
        disk=1_099_511_627_776,
    )
    assert specs.build(Changes, {"retry": 0}) == Changes(retry=0)
    taken_away = wire.pack(specs.build(Changes, {"mem": None}))
    assert msgspec.msgpack.decode(taken_away) == {"mem": None}  # not left out, which would leave it as it is


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retries": 1}, r"unknown option 'retries'; there are: command, batch"),
        ({"retry": "1"}, r"Expected `int`, got `str`.*\$\.retry"),
        ({"retry": True}, r"\$\.retry"),
        ({"mem": "16G"}, r"mem: a number of bytes, as 16 << 30 for 16 GiB, not '16G'"),
        ({"gpu": "all"}, r"\$\.gpu"),
        ({"inputs": "one"}, r"inputs: a list of URIs, not 'one'"),
        ({"inputs": [b"\xff"]}, "inputs: not valid UTF-8"),
        ({"env": ["A=1"]}, r"\$\.env"),
        ({"env": {"A": 1}}, "env A: a word is text"),
        ({"requires": [0]}, "whole number from 1"),
        ({"requires": "12"}, "whole numbers"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        specs.build(Spec, options)


def test_a_task_may_be_words_fields_or_a_specification() -> None:
    whole = Spec(command=("a", "b"))
    for task in (["a", "b"], {"command": ["a", "b"]}, whole):
        assert specs.spec(task) == whole
    with pytest.raises(UsageError, match="not valid UTF-8"):
        specs.pack(Spec(name="\udcff"))
    with pytest.raises(UsageError, match="too large"):
        specs.pack(Spec(priority=2**70))


def test_parts_are_bounded_in_count_and_bytes() -> None:
    assert list(specs.parts([])) == []
    counts = [(len(part), last) for part, last in specs.parts(["true"] for _ in range(2 * wire.PART_LIMIT))]
    assert counts == [(wire.PART_LIMIT, False), (wire.PART_LIMIT, True)]
    heavy = ["x" * (specs.PART_BYTES // 2)]
    assert [(len(part), last) for part, last in specs.parts([heavy, heavy, heavy])] == [
        (1, False),
        (1, False),
        (1, True),
    ]
    (part, _), *_ = specs.parts([["one"], ["two"]])
    assert [wire.unpack_spec(each).command for each in part] == [("one",), ("two",)]
    assert all(isinstance(each, msgspec.Raw) for each in part)


def test_columns_of_an_array() -> None:
    columns = {"n": range(10, 16, 2), "file": [Path("a"), "b", b"\xff"], "k": iter([1, 2, 3])}
    assert specs.array(["echo", "{n}"], 3, columns) == Array(
        template=Spec(command=("echo", "{n}")),
        count=3,
        columns={"n": Range(10, 2), "file": ("a", "b", b"\xff"), "k": (1, 2, 3)},
    )
    with pytest.raises(UsageError, match="column n has 2 values for 3 tasks"):
        specs.array(["true"], 3, {"n": [1, 2]})
    with pytest.raises(UsageError, match="column n: a list of values"):
        specs.array(["true"], 3, {"n": "abc"})


def test_selections_fit_a_message() -> None:
    assert list(specs.selects(7)) == [wire.Select(ids=(7,))]
    assert list(specs.selects(wire.Select(batch="b"))) == [wire.Select(batch="b")]
    assert list(specs.selects([])) == []
    many = list(specs.selects(range(1, specs.IDS_LIMIT + 2)))
    assert [len(each.ids or ()) for each in many] == [specs.IDS_LIMIT, 1]
    assert list(specs.conditions(None, "b", "failed", None)) == [wire.Select(batch="b", status=("failed",))]
    assert list(specs.conditions([3], None, None, "n")) == [wire.Select(ids=(3,), name="n")]
    assert specs.ids([3, 1, 3]) == (3, 1)
    with pytest.raises(UsageError, match="whole number from 1, not True"):
        specs.ids([True])
