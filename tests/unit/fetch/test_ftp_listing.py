from datetime import UTC, datetime

import pytest

from scitq.fetch.backends.ftp_listing import Found, mlsd, stamp_of, time_of, unix

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def at(*date: int) -> float:
    return datetime(*date, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc] # the zone is the last by name


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            "-rw-r--r--    1 ftp      ftp          1234 Mar 02 09:49 a b  c",
            Found("a b  c", "file", 1234, "", at(2026, 3, 2, 9, 49)),
        ),
        ("-rw-r--r-- 1 0 0 5 Dec 31 23:59 x", Found("x", "file", 5, "", at(2025, 12, 31, 23, 59))),
        ("-rw-r--r-- 1 0 0 5 Mar 03 09:00 x", Found("x", "file", 5, "", at(2026, 3, 3, 9))),  # its zone is ahead
        ("-rw-r--r-- 1 0 0 5 Mar 04 09:00 x", Found("x", "file", 5, "", at(2025, 3, 4, 9))),
        ("-rw-r--r-- 1 0 0 5 Feb 29 09:00 x", Found("x", "file", 5, "", at(2024, 2, 29, 9))),
        ("-rw-r--r-- 1 0 0 5 Nov 22  2019 x", Found("x", "file", 5, "", at(2019, 11, 22))),
        ("-rw-r--r--+ 1 a b 99999999999 Nov  2  2019  x", Found(" x", "file", 99999999999, "", at(2019, 11, 2))),
        ("drwxr-xr-x    2 ftp ftp 4096 Nov 22  2019 dir", Found("dir", "folder", 4096, "", at(2019, 11, 22))),
        ("lrwxrwxrwx 1 0 0 5 Nov 22  2019 a -> b", Found("a", "link", 5, "", at(2019, 11, 22))),
        ("-rw-r--r-- 1 0 0 5 Nov 22  2019 a -> b", Found("a -> b", "file", 5, "", at(2019, 11, 22))),
        ("-rw-r--r-- 1 0 0 5 Feb 30  2019 x", Found("x", "file", 5, "", None)),
        ("drwxr-xr-x 2 0 0 4096 Nov 22  2019 .", None),
        ("drwxr-xr-x 2 0 0 4096 Nov 22  2019 ..", None),
        ("total 12", None),
        ("", None),
        ("11-22-26  09:49PM       <DIR>          x", None),
    ],
)
def test_a_line_of_list(line: str, found: Found | None) -> None:
    assert unix(line, NOW) == found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            "type=file;size=12;modify=20261122214900; a b; c=d",
            Found("a b; c=d", "file", 12, "20261122214900", at(2026, 11, 22, 21, 49)),
        ),
        (
            "Type=dir;Modify=20261122214900.123;Perm=el; x",
            Found("x", "folder", -1, "20261122214900", at(2026, 11, 22, 21, 49)),
        ),
        ("type=file; x", Found("x", "file", -1, "", None)),
        ("type=OS.unix=slink:/etc;size=3; x", Found("x", "link", -1, "", None)),
        ("type=cdir;modify=20261122214900; .", None),
        ("type=pdir;modify=20261122214900; ..", None),
        ("", None),
    ],
)
def test_a_line_of_mlsd(line: str, found: Found | None) -> None:
    assert mlsd(line) == found


@pytest.mark.parametrize("text", ["", "2026", "yesterday", "20261122214900x", "²0261122214900"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert stamp_of(text) == ""
    assert time_of(text) is None
