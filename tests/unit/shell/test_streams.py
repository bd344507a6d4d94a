"""What a reader of output is told beside the output."""

import pytest

from scitq.shell.streams import copy
from scitq.wire import OutputPart


def part(**more: object) -> OutputPart:
    return OutputPart(id=1, task=1, attempt=1, **{"stream": "stdout", "offset": 0, "data": b"", "next": 0, **more})  # type: ignore[arg-type]


def test_each_stream_goes_to_its_own(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    copy([part(data=b"a\xff"), part(stream="stderr", data=b"b"), part(data=b"\n")])

    assert capfdbinary.readouterr() == (b"a\xff\n", b"b")


def test_together_all_goes_to_stdout(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    copy([part(stream="stderr", data=b"b")], together=True)

    assert capfdbinary.readouterr() == (b"b", b"")


@pytest.mark.parametrize(
    ("note", "why"), [("", "a larger --log-limit would keep more"), ("the disk was full", "the disk was full")]
)
def test_what_is_missing_is_said_with_its_reason(
    note: str, why: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    copy([part(data=b"end", gap=2048, note=note)])

    assert capfdbinary.readouterr() == (b"end", f"scitq: 2.0 KiB of stdout were not kept here: {why}\n".encode())
