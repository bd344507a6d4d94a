"""The data types of the command tree: nouns, verbs, options, arguments. No parser, no behaviour.

The one-shot command line, the interactive shell, completion and help are all made from this tree; a word that is not
in it does not exist. A branch is a `Door` until somebody goes through it, so that a command pays for its own imports
only.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """What a value is: a name (for completion and help) and the function that reads it or raises ValueError."""

    name: str
    parse: Callable[[str], Any]


class Option(NamedTuple):
    """A named value; a switch when it has no kind. Its value is kept under its last flag, `--run-timeout` as
    `run_timeout`: None when not given, a tuple when it may be `many`, a bool when it is a switch.
    """

    flags: tuple[str, ...]
    help: str
    kind: Kind | None = None
    many: bool = False
    choices: tuple[str, ...] = ()
    needed: bool = False
    dashed: bool = False  # the next word is its value even when it looks like an option

    @property
    def key(self) -> str:
        """The name under which the value is kept."""
        return self.flags[-1].lstrip("-").replace("-", "_")


class Argument(NamedTuple):
    """A value known by its place; `times`: "1", "?" (may be absent, then None) or "*" (a tuple)."""

    name: str
    help: str
    kind: Kind
    times: str = "1"


class Words(NamedTuple):
    """The words of a task's command, kept under `command` as they are; options end at the first of them, or, when
    `dashes`, at a `--` that must come before them.
    """

    help: str
    dashes: bool = False


class Command(NamedTuple):
    """Something that can be done; `run` gets the parsed values and returns the exit code."""

    name: str
    help: str
    run: Callable[[Any], int]
    options: tuple[Option, ...] = ()
    arguments: tuple[Argument, ...] = ()
    words: Words | None = None
    details: str = ""


class Door(NamedTuple):
    """A branch that is loaded when entered: `where` is `module:NAME`."""

    name: str
    help: str
    where: str


class Group(NamedTuple):
    """A noun, or a family of commands."""

    name: str
    help: str
    children: "tuple[Command | Group | Door, ...]"
    options: tuple[Option, ...] = ()
    alone: "Command | None" = None  # what it is without the name of a child


def enter(child: Command | Group | Door) -> Command | Group:
    """The branch itself, loaded if need be."""
    if not isinstance(child, Door):
        return child
    module, _, name = child.where.partition(":")
    branch: Command | Group = getattr(import_module(module), name)
    return branch
