"""Pages of listings are taken apart quickly only where that gives what parsing gives."""

import pytest

from scitq.fetch.backends.answers import Row, apart, listed, parsed
from scitq.fetch.storage import FetchError

FOLDERS = frozenset({"CommonPrefixes"})
ROWS = FOLDERS | {"Contents"}

PLAIN = "<Contents><Key>a%2Fb</Key><ETag>&quot;5d41402abc4b2a76&quot;</ETag>\n <Size>5</Size></Contents>"


def page(rows: str) -> bytes:
    around = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b&amp;c</Name>{}{}</ListBucketResult>'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{around.format(rows, "<IsTruncated>true</IsTruncated>")}'.encode()
    )


def taken(body: bytes) -> tuple[list[Row], Row]:
    content, rest = apart(body, "Contents")
    behind, around = parsed(rest, FOLDERS)
    return listed(content, "Contents", FOLDERS) + behind, around


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param("", id="none"),
        pytest.param(PLAIN, id="one"),
        pytest.param(f"{PLAIN}\n{PLAIN}", id="between them a line"),
        pytest.param(f"{PLAIN}<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes>", id="folders behind"),
        pytest.param(f"{PLAIN}<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes>{PLAIN}", id="folders between"),
        pytest.param("<Contents><Key>&lt;a&gt; &amp;quot; &#x65e5;</Key></Contents>", id="other entities"),
        pytest.param("<Contents><Key><![CDATA[<Key>]]></Key></Contents>", id="what is not taken apart"),
        pytest.param("<Contents><Key>a</Key><!-- <Size>1</Size> --><Size>2</Size></Contents>", id="a comment"),
        pytest.param("<Contents><Key>a</Key><Owner><ID>1</ID></Owner></Contents>", id="fields in a field"),
        pytest.param("<Contents><Key>a</Key><Key>b</Key></Contents>", id="a field twice"),
        pytest.param('<Contents><Key Encoded="true">a%20b</Key><ETag/></Contents>', id="attributes"),
        pytest.param("<Contents><Key>日本語 é</Key></Contents><Contents></Contents>", id="other scripts"),
    ],
)
def test_a_page_says_what_parsing_says(rows: str) -> None:
    found, around = taken(page(rows))
    wanted, others = parsed(page(rows), ROWS)

    assert found == wanted
    assert around == others
    assert around["Name"] == "b&c"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html><p>Log in", id="another page"),
        pytest.param(page(PLAIN)[:-30], id="the end is missing"),
        pytest.param(page(PLAIN * 2)[:-120], id="the end of a row is missing"),
        pytest.param(page("<Contents><Key>a</Size></Contents>"), id="tags that do not belong together"),
        pytest.param(page("<Contents><Key>a&b</Key></Contents>"), id="no entity"),
        pytest.param(page(PLAIN).replace(b"a%2Fb", b"\xff"), id="not UTF-8"),
    ],
)
def test_what_is_no_xml_is_refused(body: bytes) -> None:
    with pytest.raises(FetchError, match="no object storage"):
        taken(body)
