"""The options that say what a task is, and what they make of it: `launch`, `relaunch` and `update` share them."""

import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from scitq import container, needs
from scitq.errors import UsageError
from scitq.fetch.uri import Role, UriError, absolute, check, parse
from scitq.model import Spec
from scitq.shell import values
from scitq.shell.tree import Option

DOCKER = Option(("-d", "--docker"), "run in a container of this image", values.TEXT)
OPTION = Option(("-O", "--option"), "more options for docker, as one text: -O '--gpus all'", values.TEXT, dashed=True)
INPUT = Option(
    ("-i", "--input"),
    "a file, or with a final / a folder, put into $INPUT (/input); may be given several times",
    values.URI,
    many=True,
)
RESOURCE = Option(
    ("-r", "--resource"),
    "as -i, shared by the tasks of a worker, in $RESOURCE (/resource); may be given several times",
    values.URI,
    many=True,
)
OUTPUT = Option(("-o", "--output"), "the folder where what is left in $OUTPUT (/output) is stored", values.URI)
UID = Option(("-u", "--uid"), "run as this user id", values.COUNT)
GID = Option(("-g", "--gid"), "run as this group id", values.COUNT)
ENV = Option(
    ("-e", "--env"), "a variable of the task's environment; may be given several times", values.PAIR, many=True
)
RETRY = Option(("--retry",), "run it again up to N times when it fails (0)", values.COUNT)
RUN_TIMEOUT = Option(("--run-timeout",), "end it when its run takes longer", values.SECONDS)
DOWNLOAD_TIMEOUT = Option(
    ("--download-timeout",),
    "end it when its downloads take longer (600 s per GiB, at least 600 s)",
    values.SECONDS,
)
PRIORITY = Option(("--priority",), "start it before tasks of a lower priority (0)", values.INTEGER)
LOG_LIMIT = Option(
    ("--log-limit",),
    "how much of each of stdout and stderr to keep, half from its begin and half from its end (32M)",
    values.SIZE,
)
CPU = Option(("--cpu",), "cores that it needs, 2 or 0.5 (those of a slot); none: no request", values.NUMBER)
MEM = Option(
    ("--mem",), "memory that it needs, and may not pass: 500M, 16G (no limit); none: no request", values.SIZE
)
GPU = Option(("--gpu",), "GPUs that it needs, or a share of one: 1, 0.5 (0); none: no request", values.NUMBER)
DISK = Option(
    ("--disk",), "room that it needs on the worker's disk: 50G (what is free); none: no request", values.SIZE
)

WHAT_A_TASK_IS = (
    DOCKER,
    OPTION,
    INPUT,
    RESOURCE,
    OUTPUT,
    UID,
    GID,
    ENV,
    RETRY,
    RUN_TIMEOUT,
    DOWNLOAD_TIMEOUT,
    PRIORITY,
    LOG_LIMIT,
    CPU,
    MEM,
    GPU,
    DISK,
)

# Where an option's own word is not the model's.
_FIELDS = {"docker": "container", "option": "container_options", "input": "inputs", "resource": "resources"}
_ADDRESSES: dict[str, Role] = {"input": "input", "resource": "resource", "output": "output"}


def fields(given: Namespace) -> dict[str, Any]:
    """The fields of the model that these options set; relative plain paths become absolute."""
    found: dict[str, Any] = {}
    if given.command:
        found["command"] = tuple(map(values.word, given.command))
    for option in WHAT_A_TASK_IS:
        value = getattr(given, option.key)
        if value is None or value == ():
            continue
        if option.key in _ADDRESSES:
            flag = option.flags[0]
            value = tuple(_absolute(flag, uri) for uri in value) if option.many else _absolute(flag, value)
        elif option is ENV:
            value = dict(value)
        elif isinstance(value, values.Amount):
            value = value.value
        found[_FIELDS.get(option.key, option.key)] = value
    return found


def refusals(spec: Spec) -> Iterator[str]:
    """Why this task cannot work, one line each; nothing when nothing speaks against it."""
    yield from container.refusals(spec)
    yield from needs.refusals(spec)
    if not spec.command and not spec.container:
        yield "no command (only an image given by -d may bring its own)"
    elif spec.command and not spec.command[0] and not spec.container:
        yield "the command's first word is empty: it names the program"
    yield from _bad_addresses("-i", spec.inputs, "input")
    yield from _bad_addresses("-r", spec.resources, "resource")
    yield from _bad_addresses("-o", (spec.output,) if spec.output else (), "output")
    yield from _same_names(spec.inputs)


def _absolute(flag: str, text: str) -> str:
    try:
        uri = text
        if text and not parse(text).path.startswith("/"):
            uri = absolute(text, os.getcwd())
        uri.encode()
    except UriError as problem:
        raise UsageError(f"{flag} {problem}") from None
    except UnicodeEncodeError:
        raise UsageError(f"{flag} {text}: the current folder's name is not valid UTF-8") from None
    return uri


def _bad_addresses(flag: str, texts: Sequence[str], role: Role) -> Iterator[str]:
    for text in texts:
        if reason := check(parse(text), role):
            yield f"{flag} {text}: {reason}"


def _same_names(texts: Sequence[str]) -> Iterator[str]:
    """Two inputs that would arrive under one name."""
    names: dict[str, str] = {}
    for text in texts:
        uri = parse(text)
        if uri.is_folder or uri.actions:
            continue
        if other := names.get(uri.name):
            yield f"-i {text}: its name is that of {other}, and both would be $INPUT/{uri.name}"
        names[uri.name] = text


def sent(spec: Spec) -> Iterator[tuple[str, str]]:
    """Each thing that is sent: its field of the model, and its value on one line, quoted for a shell."""
    from scitq.shell.render import command_line, plain, quoted

    yield "command", command_line(spec.command)
    yield "batch", quoted(spec.batch)
    defaults = Spec()
    for name in Spec.__struct_fields__:
        value = getattr(spec, name)
        if name in ("command", "batch") or value == getattr(defaults, name):
            continue
        if isinstance(value, dict):
            yield from ((name, f"{quoted(key)}={quoted(held)}") for key, held in value.items())
        elif name == "requires":
            yield name, ",".join(map(str, value))
        elif isinstance(value, tuple):
            yield from ((name, quoted(item)) for item in value)
        else:
            yield name, "none" if value is None else quoted(str(plain(value)))
