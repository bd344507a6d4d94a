r"""Which names are meant: `--include` and `--exclude`. Pure.

A file is taken when its name matches an include, or there is none, and it matches no exclude; the order in which they
are given means nothing. Names are relative to the folder asked for. In a pattern

    *  any characters but /          **     any characters
    ?  one character but /           [a-z]  one of these, [!a-z] or [^a-z] one but these
    \  the next character itself     {a,b}  one of these patterns

A pattern that begins with / is held to the whole name, any other to the end of it, from the begin of a folder's or
the file's name: `*.data` means those of all folders, `/*.data` those at the top, `logs/*` what is right in any folder
`logs`. One that ends with / means all that is below: `tmp/` is `tmp/**`.
"""

import re
from collections.abc import Callable, Iterable

from scitq.fetch.storage import FetchError
from scitq.fetch.uri import one_line

Takes = Callable[[str], bool]


def patterns(given: Iterable[str]) -> tuple[str, ...]:
    """One pattern or several, as several."""
    return (given,) if isinstance(given, str) else tuple(given)


def takes(include: Iterable[str], exclude: Iterable[str]) -> Takes | None:
    """Whether a name is meant, as a function; None when all are. Raises FetchError for a pattern that is none."""
    included, excluded = _any_of(include), _any_of(exclude)
    if included is None and excluded is None:
        return None

    def meant(name: str) -> bool:
        if included is not None and included.fullmatch(name) is None:
            return False
        return excluded is None or excluded.fullmatch(name) is None

    return meant


def _any_of(given: Iterable[str]) -> re.Pattern[str] | None:
    parts = [_translated(pattern) for pattern in patterns(given)]
    return re.compile("|".join(parts), re.DOTALL) if parts else None


def _translated(pattern: str) -> str:
    body = pattern.removeprefix("/") + ("**" if pattern.endswith("/") else "")
    if not pattern.strip("/"):
        raise _no_pattern(pattern, "it means no name")
    head = "" if pattern.startswith("/") else "(?:.*/)?"
    out, depth, at = [], 0, 0
    while at < len(body):
        one = body[at]
        at += 1
        if one == "*":
            deep = body.startswith("*", at)
            at += deep
            out.append(".*" if deep else "[^/]*")
        elif one == "?":
            out.append("[^/]")
        elif one == "[":
            end = body.find("]", at + (body[at : at + 1] in {"!", "^"}) + 1)
            if end < 0:
                raise _no_pattern(pattern, "[ without ]")
            out.append(_one_of(pattern, body[at:end]))
            at = end + 1
        elif one == "{":
            depth += 1
            out.append("(?:")
        elif one == "}" and depth:
            depth -= 1
            out.append(")")
        elif one == "," and depth:
            out.append("|")
        elif one == "\\":
            if at == len(body):
                raise _no_pattern(pattern, "nothing after \\")
            out.append(re.escape(body[at]))
            at += 1
        else:
            out.append(re.escape(one))
    if depth:
        raise _no_pattern(pattern, "{ without }")
    return f"(?:{head}{''.join(out)})"


def _one_of(pattern: str, inner: str) -> str:
    negated = inner[0] in "!^"
    inside = re.sub(r"([\\\[\]&~|^])", r"\\\1", inner[1:] if negated else inner)
    found = f"[^/{inside}]" if negated else f"(?!/)[{inside}]"
    try:
        re.compile(found)
    except re.error:
        raise _no_pattern(pattern, f"[{inner}] is no set of characters") from None
    return found


def _no_pattern(pattern: str, reason: str) -> FetchError:
    return FetchError(f"{one_line(pattern) or 'an empty text'}: not a pattern: {reason}", retry=False)
