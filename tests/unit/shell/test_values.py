"""What each kind of value reads, and what it refuses."""

import os
from typing import Any

import pytest

from scitq.shell import values
from scitq.shell.tree import Kind
from scitq.shell.values import Limit


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (values.TEXT, "", ""),
        (values.TEXT, "é\n", "é\n"),
        (values.NAME, "x", "x"),
        (values.INTEGER, "-5", -5),
        (values.COUNT, "0", 0),
        (values.POSITIVE, "1", 1),
        (values.SECONDS, "0.5", 0.5),
        (values.SECONDS, "1e3", 1000.0),
        (values.LIMIT, "0", Limit(0)),
        (values.LIMIT, "1000", Limit(1000)),
        (values.LIMIT, "64M", Limit(64 << 20)),
        (values.LIMIT, "64MiB", Limit(64 << 20)),
        (values.LIMIT, "2k", Limit(2048)),
        (values.LIMIT, "none", Limit(None)),
        (values.IDS, "5", (5,)),
        (values.IDS, "3,5 7-9", (3, 5, 7, 8, 9)),
        (values.IDS, "4-4,", (4,)),
        (values.PAIR, "A=", ("A", "")),
        (values.PAIR, "A=b=c", ("A", "b=c")),
        (values.PAIR, os.fsdecode(b"A=\xff"), ("A", b"\xff")),
    ],
)
def test_a_value_is_read(kind: Kind, text: str, value: Any) -> None:
    assert kind.parse(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (values.TEXT, "\udcff"),
        (values.NAME, ""),
        (values.INTEGER, "1.5"),
        (values.INTEGER, "٣"),
        (values.INTEGER, "9" * 30),
        (values.INTEGER, "9" * 10_000),
        (values.COUNT, "-1"),
        (values.POSITIVE, "0"),
        (values.SECONDS, "0"),
        (values.SECONDS, "-1"),
        (values.SECONDS, "nan"),
        (values.SECONDS, "inf"),
        (values.SECONDS, "soon"),
        (values.LIMIT, ""),
        (values.LIMIT, "-1"),
        (values.LIMIT, "M"),
        (values.LIMIT, "5x"),
        (values.LIMIT, "5kk"),
        (values.LIMIT, "1.5G"),
        (values.LIMIT, "9" * 18 + "T"),
        (values.LIMIT, "9" * 10_000),
        (values.IDS, ""),
        (values.IDS, ","),
        (values.IDS, "0"),
        (values.IDS, "-3"),
        (values.IDS, "3-"),
        (values.IDS, "9-3"),
        (values.IDS, "x"),
        (values.IDS, "²"),
        (values.IDS, "1-999999999999"),
        (values.PAIR, "A"),
        (values.PAIR, "=b"),
        (values.PAIR, "\udcff=b"),
    ],
)
def test_a_wrong_value_is_refused(kind: Kind, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        kind.parse(text)


@pytest.mark.parametrize("raw", [b"x", b"", "é".encode(), b"\xff", b"a\xffb", b"\xed\xb3\xbf"])
def test_a_word_is_carried_without_loss(raw: bytes) -> None:
    word = values.word(os.fsdecode(raw))

    assert (word.encode() if isinstance(word, str) else word) == raw
    assert isinstance(word, bytes) == (raw not in {b"x", b"", "é".encode()})
