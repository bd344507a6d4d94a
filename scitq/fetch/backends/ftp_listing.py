"""What FTP servers answer when asked what is in a folder. Pure."""

import re
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

_UNIX = re.compile(
    r"([-dl])\S{9}\S?\s+\d+\s+\S+\s+\S+\s+(\d+)\s+"
    r"([A-Z][a-z]{2})\s+(\d{1,2})\s+(?:(\d{4})|(\d{1,2}):(\d{2}))\s(.+)",
    re.DOTALL | re.ASCII,
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STAMP = re.compile(r"(\d{14})(\.\d+)?", re.ASCII)


class Found(NamedTuple):
    """One line of a listing."""

    name: str
    kind: Literal["file", "folder", "link"]
    size: int  # -1 when it is not told
    stamp: str  # YYYYMMDDhhmmss, UTC, as MLSD and MDTM tell it; "" when it is not told
    modified: float | None  # seconds since 1970, as far as the listing tells: LIST to the minute or the day


def mlsd(line: str) -> Found | None:
    """A line of MLSD (RFC 3659); None for the folder itself, the one above, and what is neither file nor folder."""
    facts, _, name = line.partition(" ")
    told = {key.lower(): value for key, _, value in (fact.partition("=") for fact in facts.split(";"))}
    kind = told.get("type", "").lower()
    stamp = stamp_of(told.get("modify", ""))
    if kind == "dir":
        return Found(name, "folder", -1, stamp, time_of(stamp))
    if kind == "file":
        size = told.get("size", "")
        return Found(name, "file", int(size) if size.isdigit() else -1, stamp, time_of(stamp))
    if kind.startswith("os.unix=s"):  # slink, symlink
        return Found(name, "link", -1, stamp, time_of(stamp))
    return None


def unix(line: str, now: datetime) -> Found | None:
    """A line of LIST as `ls -l` writes it; None for any other line.

    A time without a year is of the twelve months before `now`; a time zone is never told, UTC is what servers use.
    """
    told = _UNIX.fullmatch(line)
    if told is None or told[3] not in _MONTHS:
        return None
    kind: Literal["file", "folder", "link"] = "file" if told[1] == "-" else "folder" if told[1] == "d" else "link"
    name = told[8].partition(" -> ")[0] if kind == "link" else told[8]
    if name in (".", ".."):
        return None
    month, day = _MONTHS.index(told[3]) + 1, int(told[4])
    hour, minute = int(told[6] or 0), int(told[7] or 0)
    modified = None
    # The 29th of February is of a year that has one.
    for year in [int(told[5])] if told[5] else range(now.year + 1, now.year - 9, -1):
        try:
            date = datetime(year, month, day, hour, minute, tzinfo=UTC)
        except ValueError:
            continue
        if told[5] or date <= now + timedelta(days=1):  # a server's clock may be ahead, or in another zone
            modified = date.timestamp()
            break
    return Found(name, kind, int(told[2]), "", modified)


def stamp_of(text: str) -> str:
    """The time in an answer to MDTM or in a fact, without fractions of a second; "" when it is none."""
    told = _STAMP.fullmatch(text.strip())
    return told[1] if told else ""


def time_of(stamp: str) -> float | None:
    """Seconds since 1970."""
    try:
        return datetime.strptime(f"{stamp}+0000", "%Y%m%d%H%M%S%z").timestamp()
    except ValueError:
        return None
