"""What the values on a command line may be: each kind reads one word, or raises ValueError with what is wrong."""

import math
import os
import re
from collections.abc import Callable
from typing import NamedTuple

from scitq.shell.tree import Kind

_BIGGEST = 2**63 - 1  # what a signed integer of the wire holds
_BYTES = re.compile(r"([0-9]{1,30})(?:\.([0-9]{1,30}))?(?:([kmgt])(?:ib)?)?", re.ASCII | re.IGNORECASE)
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_MOST_IDS = 1_000_000


class Amount(NamedTuple):
    """So much of something; None: no amount is named, whatever there is."""

    value: float | None


def word(text: str) -> str | bytes:
    """A word of a command as its caller wrote it: `bytes` when it is not UTF-8, whatever the locale."""
    raw = os.fsencode(text)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _text(text: str) -> str:
    value = word(text)
    if isinstance(value, bytes):
        raise ValueError("not valid UTF-8")  # noqa: TRY004 - what a word may hold, not what it is
    return value


def _filled(text: str) -> str:
    if not text:
        raise ValueError("empty")
    return _text(text)


def _integer(text: str) -> int:
    try:
        number = int(text) if text.isascii() else None
    except ValueError:
        number = None
    if number is None:
        raise ValueError(f"not a whole number: {text!r}")
    if abs(number) > _BIGGEST:
        raise ValueError(f"too large: {text}")
    return number


def _count(text: str) -> int:
    number = _integer(text)
    if number < 0:
        raise ValueError(f"negative number: {text}")
    return number


def _positive(text: str) -> int:
    number = _count(text)
    if not number:
        raise ValueError("at least 1 is needed")
    return number


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"not a number of seconds: {text!r}")
    if number <= 0:
        raise ValueError(f"more than 0 seconds are needed: {text}")
    return number


def _bytes(text: str) -> int:
    found = _BYTES.fullmatch(text)
    if not found or (found[2] and not found[3]):
        raise ValueError(f"not a size: {text!r} (bytes, or with K, M, G or T: 64M, 1.5G; or none)")
    whole, fraction, unit = found[1], found[2] or "", found[3] or ""
    return _count(str((int(whole + fraction) << _UNITS[unit.lower()]) // 10 ** len(fraction)))


def _number(text: str) -> float:
    try:
        number = float(text) if text.isascii() else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"not a number: {text!r} (2 or 0.5; or none)")
    return number


def _amount(read: Callable[[str], float]) -> Callable[[str], Amount]:
    return lambda text: Amount(None if text == "none" else read(text))


def _ids(text: str) -> tuple[int, ...]:
    found: list[int] = []
    for part in text.replace(",", " ").split():
        first, dash, last = part.partition("-")
        low = _id(first, part)
        high = _id(last, part) if dash else low
        if high < low:
            raise ValueError(f"the range {part!r} runs backwards")
        if high - low + len(found) >= _MOST_IDS:
            raise ValueError(f"more than {_MOST_IDS} tasks: {part!r}")
        found.extend(range(low, high + 1))
    if not found:
        raise ValueError("no task id")
    return tuple(found)


def _id(digits: str, part: str) -> int:
    if not (digits.isascii() and digits.isdigit() and 0 < len(digits) < 19 and int(digits) > 0):
        raise ValueError(f"not a task id: {part!r} (numbers, commas and ranges: 3,5,7-9)")
    return int(digits)


def _pair(text: str) -> tuple[str, str | bytes]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"not NAME=VALUE: {text!r}")
    return _text(name), word(value)


TEXT = Kind("TEXT", _text)
NAME = Kind("NAME", _filled)
URI = Kind("URI", _text)
SERVER = Kind("SERVER", _filled)
BATCH = Kind("BATCH", _filled)
WORKER = Kind("WORKER", _filled)
FILE = Kind("FILE", _filled)
FOLDER = Kind("FOLDER", _filled)
IDS = Kind("IDS", _ids)
PAIR = Kind("NAME=VALUE", _pair)
INTEGER = Kind("N", _integer)
COUNT = Kind("N", _count)
POSITIVE = Kind("N", _positive)
SECONDS = Kind("SECONDS", _seconds)
SIZE = Kind("SIZE", _amount(_bytes))
NUMBER = Kind("NUMBER", _amount(_number))
