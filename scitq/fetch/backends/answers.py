"""What an object storage answers: XML, taken apart, dates, refusals."""

import re
from email.utils import parsedate_to_datetime
from xml.parsers.expat import ExpatError, ParserCreate

from scitq.fetch.storage import FetchError, NotThere, Refused
from scitq.fetch.uri import one_line

NO_STORAGE = "what answers is no object storage"

Row = dict[str, str]  # of one element, the text of all that is in it, by tag; its own tag under ""

_FIELD = re.compile(r"<(\w+)>([^<]*)</\1>")


def apart(body: bytes, row: str) -> tuple[bytes, bytes]:
    """The rows of a listing, from the first to the end of the last, and what stands around them."""
    first, last = body.find(b"<%b>" % row.encode()), body.rfind(b"</%b>" % row.encode())
    if not 0 <= first < last:
        return b"", body
    last += len(row) + 3
    return body[first:last], body[:first] + body[last:]


def listed(content: bytes, row: str, others: frozenset[str]) -> list[Row]:
    """Those rows, and `others` between them, as `parsed` tells them: in half its time where they are plain.

    Rows with anything but fields of plain text in them are parsed. Raises as `parsed` does.
    """
    try:
        text = content.decode().replace("&quot;", '"')  # AWS writes the quotes of an ETag so
    except UnicodeDecodeError:
        text = "&"
    found = [dict(_FIELD.findall(fields)) for fields in text.split(f"<{row}>")[1:]]
    # Two tags for each field, and two for each row.
    if "&" in text or text.count("<") != 2 * (sum(map(len, found)) + len(found)):
        return parsed(b"<rows>%b</rows>" % content, others | {row})[0]
    for fields in found:
        fields[""] = row
    return found


def parsed(body: bytes, rows: frozenset[str] = frozenset()) -> tuple[list[Row], Row]:
    """The elements of an XML answer whose tags are in `rows`, and the text of all others, by tag.

    Raises FetchError when it is no XML: something else than the storage answered.
    """
    found: list[Row] = []
    others: Row = {}
    into = others
    text: list[str] = []

    def begin(tag: str, attributes: dict[str, str]) -> None:
        nonlocal into
        if tag in rows:
            into = {"": tag}
            found.append(into)
        if attributes.get("Encoded") == "true":
            into["Encoded"] = "true"
        text.clear()

    def end(tag: str) -> None:
        nonlocal into
        if tag in rows:
            into = others
        else:
            into.setdefault(tag, "".join(text))  # what users made of an object comes last, under any tag
        text.clear()

    parser = ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    try:
        parser.Parse(body, True)
    except ExpatError as error:
        raise FetchError(f"{NO_STORAGE}: {error}", retry=False) from error
    return found, others


def escaped(text: str) -> str:
    """The text as it stands in XML; xml.sax, which has this, imports half of the standard library."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def http_time(text: str | None) -> float | None:
    """Seconds since 1970 of a date as HTTP writes it; None for what is none."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None


_NO_TOP = {"NoSuchBucket": "bucket", "ContainerNotFound": "container", "ResourceNotFound": "container"}
_WRONG_KEYS = {
    *("AuthenticationFailed", "ExpiredToken", "InvalidAccessKeyId", "InvalidAuthenticationInfo", "InvalidToken"),
    *("SignatureDoesNotMatch", "TokenRefreshRequired"),
}
_DAMAGED = {"BadDigest", "ContentMD5Mismatch", "Md5Mismatch", "XAmzContentSHA256Mismatch"}
_LATER = {"InternalError", "OperationAborted", "RequestTimeout", "ServerBusy", "SlowDown", "Throttling"}


def refusal(status: int, code: str, message: str) -> FetchError:
    """The error that an answer means: its status, and the code and message it gives (may be empty)."""
    told = one_line(" ".join(f"{code}: {message}".strip(": ").split())) or f"status {status}"
    if code in _NO_TOP:
        return NotThere(f"no such {_NO_TOP[code]}", retry=False)
    if status == 404:
        return NotThere("no such file", retry=False)
    if code == "RequestTimeTooSkewed":
        return Refused("the clock of this machine is wrong, so the storage refuses", retry=False)
    if code in _WRONG_KEYS:
        return Refused(f"the storage does not accept these keys ({told})", retry=False)
    if status in (401, 403):
        return Refused(f"access denied ({told})", retry=False)
    if status == 412:
        return FetchError("changed while it was read", retry=True)
    if code in _DAMAGED:
        return FetchError(f"damaged on the way, or changed while it was read ({told})", retry=True)
    if status >= 500 or status in (408, 425, 429) or code in _LATER:
        return FetchError(f"the storage cannot now ({told})", retry=True)
    return FetchError(f"the storage refuses: {told}", retry=False)
