"""Which names `--include` and `--exclude` mean."""

import pytest

from scitq.fetch.filters import takes
from scitq.fetch.storage import FetchError


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.data", ["x.data", "a/b/x.data", ".data"], ["x.data2", "x.data/y", "xdata"]),
        ("/*.data", ["x.data"], ["a/x.data"]),
        ("logs/*", ["logs/x", "a/logs/x"], ["logs/a/x", "mylogs/x"]),
        ("/logs/**", ["logs/x", "logs/a/b/x"], ["a/logs/x", "logs"]),
        ("tmp/", ["tmp/x", "a/tmp/b/x"], ["tmp", "xtmp/y"]),
        ("x?y", ["xay", "b/x.y"], ["x/y", "xy", "xaay"]),
        ("[a-c]1", ["a1", "d/c1"], ["d1", "1"]),
        ("[!a-c]1", ["d1"], ["a1", "/1"]),
        ("[^a]", ["b"], ["a"]),
        ("[]a]x", ["]x", "ax"], ["bx"]),
        ("*.{fa,fq}.gz", ["x.fa.gz", "a/x.fq.gz"], ["x.fb.gz"]),
        ("a,b", ["a,b"], ["a"]),
        (r"\*", ["*"], ["x"]),
        (r"\{a", ["{a"], []),
        ("a.b", ["a.b"], ["axb"]),
        ("é*", ["été"[0:1] + "x", "a/é"], ["e"]),
        ("*", ["x", "a/x", "new\nline"], []),
        ("a/**/b", ["a/x/b", "a/x/y/b"], ["ab"]),
    ],
)
def test_what_a_pattern_means(pattern: str, yes: list[str], no: list[str]) -> None:
    meant = takes((pattern,), ())
    assert meant is not None
    assert [name for name in yes if not meant(name)] == []
    assert [name for name in no if meant(name)] == []


def test_one_include_is_enough_and_an_exclude_wins() -> None:
    meant = takes(("*.a", "*.b"), ("tmp/", "x.*"))
    assert meant is not None
    assert [name for name in ("y.a", "y.b", "y.c", "tmp/y.a", "x.a") if meant(name)] == ["y.a", "y.b"]
    meant = takes((), ("*.c",))
    assert meant is not None
    assert [name for name in ("y.a", "y.c") if meant(name)] == ["y.a"]
    assert takes((), ()) is None


@pytest.mark.parametrize("pattern", ["", "/", "[a", "[", "{a", "a\\", "[z-a]"])
def test_what_is_no_pattern_is_said(pattern: str) -> None:
    with pytest.raises(FetchError, match="not a pattern"):
        takes((), (pattern,))
