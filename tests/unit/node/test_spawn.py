import os
from pathlib import Path

import pytest

from scitq.node.spawn import CannotStartError, spawn


def refusal(argv: list[bytes], path: str = "/usr/bin:/bin", uid: int | None = None) -> str:
    with pytest.raises(CannotStartError) as caught:
        spawn(argv, {b"PATH": os.fsencode(path)}, 1, 2, uid, uid)
    return str(caught.value)


def script(path: Path, text: str, mode: int = 0o755) -> bytes:
    path.write_text(text)
    path.chmod(mode)
    return os.fsencode(path)


def test_a_missing_program_is_named_with_the_path_searched() -> None:
    assert refusal([b"nosuch"], "/a:/b") == "no program nosuch in PATH (/a:/b)"
    assert refusal([b"/a/nosuch"]) == "no program /a/nosuch"


def test_a_line_of_shell_gets_a_hint() -> None:
    assert refusal([b"echo a | wc"], "/a").endswith("for a line of shell use sh -c 'echo a | wc'")


def test_what_is_not_executable_says_so(tmp_path: Path) -> None:
    script(tmp_path / "tool", "#!/bin/sh\n", 0o644)
    assert refusal([b"tool"], str(tmp_path)) == f"{tmp_path}/tool is not executable: `chmod +x` it"
    assert "needs to be executable" in refusal([os.fsencode(tmp_path / "tool")])
    assert refusal([os.fsencode(tmp_path)]).endswith("is a folder, not a program")


def test_a_script_without_its_interpreter_names_it(tmp_path: Path) -> None:
    tool = script(tmp_path / "tool", "#!/no/such/perl -w\n")
    assert refusal([tool]) == f"{tmp_path}/tool needs the interpreter /no/such/perl, which is not there"


def test_a_script_without_a_first_line_is_told_how(tmp_path: Path) -> None:
    assert "use `sh FILE`" in refusal([script(tmp_path / "tool", "echo hello\n")])


def test_words_that_are_no_text_are_shown_all_the_same() -> None:
    assert r"\xff" in refusal([b"no\xffsuch"])


def test_what_the_kernel_cannot_take_is_refused() -> None:
    assert "embedded null byte" in refusal([b"/bin/true", b"a\0b"])
    assert "too long" in refusal([b"/bin/true", b"x" * (1 << 20)])


def test_an_empty_command_is_refused() -> None:
    assert refusal([]).startswith("the command is empty")
