"""What each kind of value reads, and what it refuses."""

import os
from typing import Any

import pytest

from scitq.shell import values
from scitq.shell.tree import Kind
from scitq.shell.values import Amount


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
        (values.SIZE, "0", Amount(0)),
        (values.SIZE, "1000", Amount(1000)),
        (values.SIZE, "64M", Amount(64 << 20)),
        (values.SIZE, "64MiB", Amount(64 << 20)),
        (values.SIZE, "2k", Amount(2048)),
        (values.SIZE, "1.5T", Amount(3 << 39)),
        (values.SIZE, "0.3k", Amount(307)),
        (values.SIZE, "none", Amount(None)),
        (values.NUMBER, "2", Amount(2.0)),
        (values.NUMBER, "0.5", Amount(0.5)),
        (values.NUMBER, "none", Amount(None)),
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
        (values.SIZE, ""),
        (values.SIZE, "-1"),
        (values.SIZE, "M"),
        (values.SIZE, "5x"),
        (values.SIZE, "5kk"),
        (values.SIZE, "1.5"),
        (values.SIZE, "1.G"),
        (values.SIZE, "16GB"),
        (values.SIZE, "٣M"),
        (values.NUMBER, ""),
        (values.NUMBER, "two"),
        (values.NUMBER, "nan"),
        (values.NUMBER, "inf"),
        (values.NUMBER, "²"),
        (values.SIZE, "9" * 18 + "T"),
        (values.SIZE, "9" * 10_000),
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
