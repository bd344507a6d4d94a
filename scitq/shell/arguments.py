"""The words after a command's name, read by argparse: only the parser of that one command is made."""

import argparse
from argparse import Action, ArgumentError, ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from scitq import __version__
from scitq.errors import UsageError
from scitq.shell.tree import Argument, Command, Group, Kind, Option, Words, enter


def read(tree: Group, words: Sequence[str]) -> tuple[Command, Namespace]:
    """The command that these words name, and its values.

    Raises UsageError; help and version are printed, and raise SystemExit(0).
    """
    given = Namespace()
    rest = list(words)
    prog = tree.name
    branch: Command | Group = tree
    while isinstance(branch, Group):
        names = {child.name: child for child in branch.children}
        if branch.alone and not (rest and rest[0] in names):
            branch = branch.alone._replace(details=_listing(branch))
            break
        if not rest or rest[0] not in names:
            rest = _read_group(branch, prog, rest, given)
        if rest[0] not in names:
            raise UsageError(f"unknown command {rest[0]!r} (after {prog} there are: {', '.join(names)})")
        prog = f"{prog} {rest[0]}"
        branch = enter(names[rest.pop(0)])
    read_command(branch, rest, prog, given)
    return branch, given


def read_command(command: Command, words: Sequence[str], prog: str, given: Namespace) -> None:
    """Add to `given` the values that these words give to one command."""
    parser = parser_of(command, prog)
    own = list(words)
    if command.words and not command.words.dashes:
        _, left = parser.parse_known_args(own, given)
        if left not in ([], ["--"]):
            parser.error(f"unknown option: {left[0]}")
        given.command = _without_dashes(given.command, own)
        return
    tail: list[str] = []
    if command.words and "--" in own:
        split = own.index("--")
        own, tail = own[:split], own[split + 1 :]
        if not tail:
            parser.error("no command after --")
    _, left = parser.parse_known_intermixed_args(own, given)
    if left:
        parser.error(f"unknown option: {left[0]}" if left[0][:1] == "-" else f"not expected here: {left[0]}")
    for argument in command.arguments:
        if argument.times == "*":
            setattr(given, argument.name, tuple(getattr(given, argument.name)))
    given.command = tail


def parser_of(command: Command, prog: str) -> ArgumentParser:
    """The argparse parser of one command."""
    parser = _Parser(prog, command.help, command.details)
    for option in command.options:
        _add_option(parser, option)
    for argument in command.arguments:
        _add_argument(parser, argument)
    if command.words:
        _add_words(parser, command.words)
    return parser


class _Parser(ArgumentParser):
    """Options are never abbreviated, and what is wrong is raised instead of printed."""

    def __init__(self, prog: str, about: str, details: str = "") -> None:
        super().__init__(
            prog=prog,
            description=about[:1].upper() + about[1:] + ".",
            epilog=details,
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.add_argument("-h", "--help", action="help", help="show this help, and do nothing else")

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ')} (see {self.prog} -h)")

    def _get_nargs_pattern(self, action: Action) -> str:
        """One word, whatever it begins with, for the values that are options themselves (`-O --privileged`)."""
        if isinstance(action, _Once) and action.dashed:
            return "([AO])"
        return super()._get_nargs_pattern(action)


class _Once(Action):
    """A value that is given at most once."""

    dashed = False

    def __call__(self, parser: ArgumentParser, given: Namespace, value: Any, flag: str | None = None) -> None:
        if getattr(given, self.dest, None) is not None:
            raise ArgumentError(self, "given twice")
        setattr(given, self.dest, value)


class _Every(Action):
    """A value that may be given any number of times."""

    def __call__(self, parser: ArgumentParser, given: Namespace, value: Any, flag: str | None = None) -> None:
        setattr(given, self.dest, (*getattr(given, self.dest), value))


def _read_group(group: Group, prog: str, words: list[str], given: Namespace) -> list[str]:
    """Read the group's own options; what follows them begins with the name of a child."""
    parser = _Parser(prog, group.help, _listing(group))
    for option in group.options:
        _add_option(parser, option)
    if prog == "scitq":
        parser.add_argument("--version", action="version", version=f"scitq {__version__}", help="show the version")
    rest = parser.add_argument("rest", nargs=argparse.PARSER, metavar="COMMAND", help="one of those below")
    rest.required = False
    _, left = parser.parse_known_args(words, given)
    if left:
        parser.error(f"unknown option: {left[0]}")
    found: list[str] | None = vars(given).pop("rest")
    if not found:
        parser.error(f"name a command: {', '.join(child.name for child in group.children)}")
    return found


def _listing(group: Group) -> str:
    width = max(len(child.name) for child in group.children)
    return "\n".join(("commands:", *(f"  {child.name:{width}}  {child.help}" for child in group.children)))


def _add_option(parser: ArgumentParser, option: Option) -> None:
    text = option.help.replace("%", "%%")
    if option.kind is None:
        parser.add_argument(*option.flags, dest=option.key, action="store_true", help=text)
        return
    action = parser.add_argument(
        *option.flags,
        dest=option.key,
        action=_Every if option.many else _Once,
        default=() if option.many else None,
        type=_reader(option.kind),
        required=option.needed,
        choices=option.choices or None,
        metavar=option.kind.name if not option.choices else None,
        help=text,
    )
    if isinstance(action, _Once):
        action.dashed = option.dashed


def _add_argument(parser: ArgumentParser, argument: Argument) -> None:
    parser.add_argument(
        argument.name,
        nargs=None if argument.times == "1" else argument.times,
        default=() if argument.times == "*" else None,
        type=_reader(argument.kind),
        metavar=argument.kind.name,
        help=argument.help.replace("%", "%%"),
    )


def _add_words(parser: ArgumentParser, words: Words) -> None:
    if words.dashes:
        parser.usage = f"{parser.format_usage().removeprefix('usage: ').strip()} [-- COMMAND ...]"
        return
    action = parser.add_argument("command", nargs=argparse.PARSER, metavar="COMMAND", help=words.help)
    action.required = False


def _without_dashes(command: list[str] | None, words: list[str]) -> list[str]:
    """The words of a command without the `--` before them, which argparse leaves or takes by its version."""
    if not command or command[0] != "--":
        return command or []
    taken = len(command) < len(words) and words[-len(command) - 1] == "--"
    return command if taken else command[1:]


def _reader(kind: Kind) -> Callable[[str], Any]:
    """The kind's function, its ValueError made one that argparse shows."""

    def read_value(text: str) -> Any:
        try:
            return kind.parse(text)
        except ValueError as wrong:
            raise ArgumentTypeError(str(wrong)) from None

    return read_value
