"""Which tasks can have a container at all: pure rules, for whoever takes a task before it is queued.

`-O` is parsed by docker itself, on the worker. Refused here is only what would take the container out of scitq's
hands: its name, its end, its image, its output.
"""

import shlex
from collections.abc import Iterator

from scitq.model import Spec

_HELD = {
    "--detach": "a task always runs in the background",
    "--name": "scitq names the container, so that an attempt is never started twice",
    "--cidfile": "scitq finds the container by its name",
    "--restart": "an attempt runs once; --retry runs a task again",
    "--pull": "scitq pulls the image, once for all tasks that want it",
    "--log-driver": "scitq reads the output where docker keeps it",
}
_WITH_VALUE = "acehlmpuvw"  # docker's short options that take one
_CPU = ("--cpus", "--cpu-quota", "--cpu-period")
_MEM = ("--memory", "--memory-swap")


def refusals(spec: Spec) -> Iterator[str]:
    """Why this task cannot run in its container, one line each."""
    if not spec.container:
        if spec.container_options:
            yield "-O: options for docker need an image (-d)"
        return
    if spec.container.startswith("-") or not spec.container.isprintable() or " " in spec.container:
        yield f"-d {spec.container!r} is no name of an image"
    if problem := refused_option(spec.container_options):
        yield f"-O: {problem}"
    else:
        yield from _contradictions(spec)
    if not all(_is_text(word) for word in (*spec.command, *spec.env.values())):
        yield "docker takes words and variables in UTF-8 only, and here is one that is not"


def refused_option(options: str) -> str:
    """Why these options for docker are refused, "" when they are not."""
    if "\0" in options:
        return "it holds a NUL byte"
    try:
        words = shlex.split(options)
    except ValueError as problem:
        return f"{options!r} cannot be split into words: {problem}"
    if words and not words[0].startswith("-"):
        return f"{words[0]!r} is no option: it would be taken for the image"
    for option, word in _options(words):
        if option == "--":
            return "-- would end the options before those of scitq"
        if option in _HELD:
            return f"{word} is refused: {_HELD[option]}"
    return ""


def asks_for(options: str, *names: str) -> str:
    """The first of the words for docker that gives one of these options, "" when none does."""
    try:
        words = shlex.split(options)
    except ValueError:  # refused by `refused_option`
        return ""
    return next((word for option, word in _options(words) if option in names), "")


def _contradictions(spec: Spec) -> Iterator[str]:
    for ours, asked, theirs in (("--cpu", spec.cpu, _CPU), ("--mem", spec.mem, _MEM)):
        if asked is not None and (word := asks_for(spec.container_options, *theirs)):
            yield f"{ours} and -O '{word} …' contradict each other: {ours} alone limits the container too"


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """The options that matter here among words for docker: the long name of each, and its word."""
    value_follows = False
    for word in words:
        if value_follows:
            value_follows = False
        elif word.startswith("--"):
            yield word.partition("=")[0], word
        elif word.startswith("-"):
            found, value_follows = _short(word)
            yield found, word


def _short(word: str) -> tuple[str, bool]:
    """What matters in a cluster as `-itd`, "" for nothing, and whether the next word is the value of its last one."""
    for place, letter in enumerate(word[1:], 1):
        if letter == "d":
            return "--detach", False
        if letter in _WITH_VALUE:
            return "--memory" if letter == "m" else "", place == len(word) - 1
    return "", False


def _is_text(word: str | bytes) -> bool:
    try:
        (word if isinstance(word, bytes) else word.encode()).decode()
    except UnicodeError:
        return False
    return True
