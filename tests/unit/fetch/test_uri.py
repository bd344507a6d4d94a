"""Addresses: parse and print are inverse, and what cannot work is refused with the reason."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from scitq.fetch.uri import SCHEMES, Uri, UriError, absolute, check, parse, shown

names = st.text(st.one_of(st.sampled_from("|\\@:/.# ?%é\n"), st.characters(exclude_characters="\0")))
parts = names.filter(bool)
words = st.text(st.characters(exclude_characters="\0@:/|\\"), min_size=1)


addresses = st.builds(
    Uri,
    scheme=st.sampled_from(sorted(SCHEMES)),
    path=names,
    options=st.lists(words).map(tuple),
    actions=st.lists(parts).map(tuple),
    plain=st.just(False),
)


@given(addresses)
@example(Uri("s3", "ends with \\", (), ("gunzip", "mv:a\\", "mv:b|\\")))
@example(Uri("s3", "\\|", (), ("\\\\|x",)))
def test_parsing_what_was_printed_gives_the_same_address(uri: Uri) -> None:
    assert parse(str(uri)) == uri


@given(names)
def test_printing_what_was_parsed_gives_the_same_text(text: str) -> None:
    try:
        uri = parse(text)
    except UriError:
        assume(False)
    assert str(uri) == text


def test_every_part_is_taken_as_it_stands() -> None:
    uri = parse(r"s3@work://bucket/a b#?%20/é\|x.tar.gz|untar|mv:db")
    assert uri == Uri("s3", "bucket/a b#?%20/é|x.tar.gz", ("work",), ("untar", "mv:db"))
    assert parse("/data/x.gz|gunzip") == Uri("file", "/data/x.gz", (), ("gunzip",), plain=True)
    assert parse("run+fastq@ftp@sra://ERR1").options == ("ftp", "sra")
    assert parse("x\\\\|gunzip") == Uri("file", "x\\", (), ("gunzip",), plain=True)
    assert parse("a\\b\\").path == "a\\b\\"
    assert parse("https://host/?q=a://b").path == "host/?q=a://b"


def test_only_a_trailing_slash_means_a_folder() -> None:
    assert parse("s3://b/f/").is_folder
    assert parse("f/|mv:x").is_folder
    assert not parse("s3://b/f").is_folder


@pytest.mark.parametrize("text", ["run+fastq://ERR000001", "run+fastq@sra://ERR000001/|gunzip"])
def test_an_accession_is_a_folder_with_or_without_a_slash(text: str) -> None:
    assert parse(text).is_folder
    assert not parse("run+fastq://ERR000001/ERR000001_1.fastq.gz").is_folder


@pytest.mark.parametrize("text", ["a||gunzip", "a|", "s3@://b/x", "s3@a@://b/x", "://x", "a\0b"])
def test_what_cannot_be_read_is_one_line_that_names_it(text: str) -> None:
    with pytest.raises(UriError) as caught:
        parse(text)
    assert text.replace("\0", "\\x00") in str(caught.value)


@pytest.mark.parametrize(
    ("text", "role", "reason"),
    [
        ("gopher://x/y", "input", "unknown scheme gopher"),
        ("S3://x/y", "input", "unknown scheme S3"),
        ("https@sra://x/y", "input", "unknown option @sra for https (known: @aria2)"),
        ("file@aria2:///x", "input", "unknown option @aria2 for file (known: none)"),
        ("s3@a@b://x/y", "input", "only one account"),
        ("/x|gzip", "input", "unknown action gzip"),
        ("/x|mv:", "input", "mv:: a folder"),
        ("/x|mv:/etc", "input", "mv:/etc"),
        ("/x|mv:a/../../b", "input", "mv:a/../../b"),
        ("/x|gunzip", "input", "does not end in .gz"),
        ("/x.tar.gz|gunzip|gunzip", "resource", "does not end in .gz"),
        ("/x.zip|untar", "resource", "does not end in .tar"),
        ("/x.tar|unzip", "resource", "does not end in .zip"),
        ("/x.gz|gunzip", "output", "an output takes no action: gunzip"),
        ("https://x/y", "output", "nothing can be stored by https"),
        ("", "input", "empty path"),
        ("s3://", "input", "empty path"),
        ("file://data/x", "input", "three slashes"),
        ("data/x", "input", "relative path"),
        ("out/", "output", "relative path"),
        ("run+fastq://ERR1", "input", "ERR1 is no accession"),
        ("run+fastq://ERR000001/vol1/x", "input", "is no accession"),
        ("run+fastq://err000001", "input", "is no accession"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(text: str, role: str, reason: str) -> None:
    assert reason in (check(parse(text), role) or "")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("/data/x", "input"),
        ("file:///data/x.TGZ|untar|mv:a/b", "resource"),
        ("/data/x.tgz|gunzip|untar|gunzip", "input"),
        ("/data/|mv:x|gunzip", "input"),
        ("run+fastq://PRJEB1/ERR000001_1.fastq.gz|gunzip", "input"),
        ("/results", "output"),
        ("file:///results/", "output"),
    ],
)
def test_what_works_is_not_refused(text: str, role: str) -> None:
    assert check(parse(text), role) is None  # type: ignore[arg-type]


def test_a_relative_plain_path_is_made_absolute_and_nothing_else_changes() -> None:
    assert absolute("x.gz|gunzip", "/home/me") == "/home/me/x.gz|gunzip"
    assert absolute("./f/", "/home/me") == "/home/me/f/"
    assert absolute(".", "/home/me") == "/home/me/."
    assert absolute("./a\\|b://c", "/odd|cwd") == "/odd\\|cwd/a\\|b://c"
    assert absolute("/x", "/home/me") == "/x"
    assert absolute("s3://b/x", "/home/me") == "s3://b/x"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ftp://me:secret@host/x", "ftp://me:***@host/x"),
        ("https@aria2://me:se@cret@host:80/x@y:z", "https@aria2://me:***@host:80/x@y:z"),
        ("ftp://me@host/a:b@c", "ftp://me@host/a:b@c"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("/a/b:c@d", "/a/b:c@d"),
    ],
)
def test_an_address_is_told_without_its_password(address: str, told: str) -> None:
    assert shown(address) == told


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_query_is_no_part_of_a_name(scheme: str) -> None:
    uri = parse(f"{scheme}://host/deep/a.gz?key=x/y/|gunzip")

    assert (uri.name, uri.is_folder, check(uri, "input")) == ("a.gz", False, None)
    assert parse("s3://bucket/a?b/c").name == "c"
