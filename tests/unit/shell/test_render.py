"""What is printed can be read by people, by programs and by a shell, and breaks nobody's terminal."""

import json
import os
import pty
import subprocess
import sys
import termios

import pytest

from scitq.model import Spec
from scitq.shell.render import command_line, duration, one_line, plain, print_json, print_table, quoted, size, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本", "plain é 日本"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m", "\\u009b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028", "\\u2028"),
        ("\udcff", "\\xff"),
        ("\x7f\x00", "\\x7f\\x00"),
    ],
)
def test_nothing_shown_steers_a_terminal(text: str, shown: str) -> None:
    assert one_line(text) == shown


@pytest.mark.parametrize(
    "word",
    ["ls", "", "a b", "it's", "$CPU", "a\nb", "\x1b[31m", "'\n\\'", "é", b"\xff", b"'\xff\\\x01", "\x85", "\n1f"],
)
def test_a_quoted_word_can_be_pasted(word: str | bytes) -> None:
    text = quoted(word)
    pasted = subprocess.run(["bash", "-c", f"printf %s {text}"], capture_output=True, check=True)

    assert text.isprintable()
    assert pasted.stdout == (word.encode() if isinstance(word, str) else word)


def test_a_command_is_quoted_where_a_shell_needs_it() -> None:
    assert command_line(("sh", "-c", "echo $CPU", b"\xff")) == "sh -c 'echo $CPU' $'\\xff'"


def test_a_table_is_aligned() -> None:
    assert table(("id", "name"), [["5", "x"], ["12", "long name"]]).splitlines() == [
        "id  name",
        " 5  x",
        "12  long name",
    ]


def test_a_table_may_have_no_header_and_no_rows() -> None:
    assert table(("id", "name"), [["5", "x"]], header=False) == "5  x"
    assert table(("id", "name"), []) == "id  name"
    assert table(("id", "name"), [], header=False) == ""


def test_a_rare_column_is_there_when_a_row_has_something_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "mem", "gpu", "name"), [(5, None, "1", "x"), (6, None, None, "")], rare=("mem", "gpu"))

    assert capsys.readouterr().out.splitlines() == ["id  gpu  name", " 5    1  x", " 6"]


def test_a_pipe_gets_everything(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "command"), [("\x1b", "x" * 1000)])

    assert capsys.readouterr().out.splitlines()[1] == "\\x1b  " + "x" * 1000


def test_a_terminal_gets_what_fits() -> None:
    code = (
        "from scitq.shell.render import print_table\n"
        "print_table(('id', 'name', 'command'), [(1, 'short', 'x' * 200), (2, 'y' * 60, 'z')])"
    )
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 50))
    with subprocess.Popen([sys.executable, "-c", code], stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        while not process.poll() and (data := _read(ours)):
            shown += data
    os.close(ours)

    header, first, second = shown.decode().split("\r\n")[:3]
    assert header.split() == ["id", "name", "command"]
    assert len(first) == 50
    assert first.endswith("x…")
    assert first.startswith(" 1  short  ")
    assert "y…" in second


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # a terminal whose other side is closed
        return b""


def test_json_is_one_array_with_the_names_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([Spec(command=("a", b"\xff"), env={"A": b"\xfe"}, requires=(1, 2)), {"x": None}])

    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == [
        {"command": ["a", "\udcff"], "env": {"A": "\udcfe"}, "requires": [1, 2]},
        {"x": None},
    ]


def test_json_of_nothing_is_an_empty_array(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([])

    assert json.loads(capsys.readouterr().out) == []


def test_plain_values_stay() -> None:
    assert plain({"a": (1, 2.5, None, True)}) == {"a": [1, 2.5, None, True]}


@pytest.mark.parametrize(("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 30, "3.0 GiB")])
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.00248, "2 ms"),
        (0.3, "300 ms"),
        (1, "1 s"),
        (59.94, "59.9 s"),
        (61, "1 min 01 s"),
        (3725, "1 h 02 min 05 s"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
