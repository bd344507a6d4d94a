"""What the words of a command line are read as, and how each wrong one is told."""

import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator

import pytest

from scitq.errors import UsageError
from scitq.shell import values
from scitq.shell.arguments import parser_of, read
from scitq.shell.root import ROOT
from scitq.shell.tree import Argument, Command, Door, Group, Option, Words, enter


def nothing(given: Namespace) -> int:
    return 0


SERVER = Option(("-s", "--server"), "where", values.SERVER)

TREE = Group(
    "scitq",
    "a tree for tests",
    (
        Command(
            "launch",
            "queue",
            nothing,
            options=(
                Option(("-b", "--batch"), "a batch", values.BATCH),
                Option(("-i", "--input"), "inputs", values.URI, many=True),
                Option(("-O", "--option"), "docker's", values.TEXT, dashed=True),
                Option(("-t", "--test"), "a switch"),
                Option(("--run-timeout",), "seconds", values.SECONDS),
            ),
            words=Words("the command"),
        ),
        Group(
            "task",
            "tasks",
            (
                Command(
                    "update",
                    "change",
                    nothing,
                    options=(
                        Option(("-f", "--force"), "a switch"),
                        Option(("--priority",), "first", values.INTEGER),
                        Option(("--how",), "one of", values.TEXT, choices=("stop", "kill")),
                    ),
                    arguments=(Argument("ids", "tasks", values.IDS, "*"),),
                    words=Words("the new command", dashes=True),
                ),
                Command("show", "look", nothing, (SERVER,), (Argument("name", "which", values.NAME),)),
            ),
            options=(SERVER,),
        ),
        Group(
            "broker",
            "serve",
            (Command("check", "look after it", nothing),),
            alone=Command("broker", "serve", nothing, (Option(("--grace",), "seconds", values.SECONDS),)),
        ),
    ),
)


def parsed(*words: str) -> Namespace:
    return read(TREE, words)[1]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["ls"], ["ls"]),
        (["ls", "-b", "x"], ["ls", "-b", "x"]),
        (["ls", "-h"], ["ls", "-h"]),
        (["-t", "ls", "--test"], ["ls", "--test"]),
        (["--", "-t"], ["-t"]),
        (["--", "ls", "--", "x"], ["ls", "--", "x"]),
        (["--", "--", "ls"], ["--", "ls"]),
        (["ls", "--"], ["ls", "--"]),
        (["", "x"], ["", "x"]),
        (["-"], ["-"]),
        (["-b", "x", "--", "ls"], ["ls"]),
        (["-b", "x"], []),
        (["-b", "x", "--"], []),
        (["--"], []),
        ([], []),
    ],
)
def test_options_end_at_the_first_word_of_the_command(words: list[str], command: list[str]) -> None:
    assert parsed("launch", *words).command == command


def test_what_is_given_before_the_command_is_kept() -> None:
    given = parsed("launch", "-i", "a", "-bx", "-t", "--input=b", "--run-timeout", "1.5", "ls", "-i", "c")

    assert given == Namespace(
        batch="x", input=("a", "b"), option=None, test=True, run_timeout=1.5, command=["ls", "-i", "c"]
    )


@pytest.mark.parametrize("words", [["-O", "--gpus all"], ["-O", "--rm"], ["-O", "-t"], ["--option=--rm"]])
def test_options_for_docker_may_look_like_ours(words: list[str]) -> None:
    given = parsed("launch", *words, "ls")

    assert given.option == words[-1].removeprefix("--option=")
    assert given.command == ["ls"]
    assert not given.test


def test_ids_and_options_may_be_mixed() -> None:
    given = parsed("task", "update", "3", "-f", "4,7-9", "--priority", "-2", "12")

    assert given == Namespace(ids=((3,), (4, 7, 8, 9), (12,)), force=True, priority=-2, how=None, command=[])


def test_a_command_may_follow_two_dashes() -> None:
    given = parsed("task", "update", "3", "--", "ls", "-f", "--", "x")

    assert given.command == ["ls", "-f", "--", "x"]
    assert not given.force
    assert given.ids == ((3,),)


def test_options_of_a_group_stand_before_its_verb() -> None:
    given = parsed("task", "-s", "here", "show", "x")

    assert (given.server, given.name) == ("here", "x")
    assert parsed("task", "show", "-s", "here", "x") == given


def test_a_group_may_be_a_command_too() -> None:
    assert parsed("broker", "--grace", "5").grace == 5
    assert read(TREE, ["broker", "check"])[0].name == "check"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nonsense"], "unknown command 'nonsense' (after scitq there are: launch, task, broker)"),
        (["task"], "name a command: update, show (see scitq task -h)"),
        (["task", "--foo", "show"], "unknown option: --foo (see scitq task -h)"),
        (["task", "nonsense"], "unknown command 'nonsense' (after scitq task there are: update, show)"),
        (["launch", "--foo", "ls"], "unknown option: --foo (see scitq launch -h)"),
        (["launch", "--bat", "x", "ls"], "unknown option: --bat (see scitq launch -h)"),
        (["launch", "-b"], "-b/--batch: expected one argument (see scitq launch -h)"),
        (["launch", "-b", "-t", "ls"], "-b/--batch: expected one argument (see scitq launch -h)"),
        (["launch", "-b", "", "ls"], "-b/--batch: empty (see scitq launch -h)"),
        (["launch", "-b", "x", "--batch", "y"], "-b/--batch: given twice (see scitq launch -h)"),
        (["launch", "-t=1", "ls"], "-t/--test: ignored explicit argument '1' (see scitq launch -h)"),
        (["task", "-s", "x", "show", "-s", "y", "z"], "-s/--server: given twice (see scitq task show -h)"),
        (["broker", "nonsense"], "not expected here: nonsense (see scitq broker -h)"),
        (["task", "show"], "the following arguments are required: NAME (see scitq task show -h)"),
        (["task", "show", "x", "y"], "not expected here: y (see scitq task show -h)"),
        (["task", "show", "-x", "y"], "unknown option: -x (see scitq task show -h)"),
        (["task", "update", "1", "--"], "no command after -- (see scitq task update -h)"),
        (["task", "update", "x"], "not a task id: 'x'"),
        (["task", "update", "--how", "maybe"], "--how: invalid choice: 'maybe'"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(words: list[str], told: str) -> None:
    with pytest.raises(UsageError) as problem:
        parsed(*words)

    assert told in str(problem.value)
    assert "\n" not in str(problem.value)


def branches(branch: Command | Group, path: str) -> Iterator[tuple[str, Command | Group]]:
    yield path, branch
    if isinstance(branch, Group):
        for child in branch.children:
            yield from branches(enter(child), f"{path} {child.name}")


def doors(branch: Command | Group) -> Iterator[Door]:
    if isinstance(branch, Group):
        for child in branch.children:
            if isinstance(child, Door):
                yield child
            yield from doors(enter(child))


def test_every_door_says_what_is_behind_it() -> None:
    for door in doors(ROOT):
        behind = enter(door)
        assert (door.name, door.help) == (behind.name, behind.help)


@pytest.mark.parametrize("path", [path for path, _ in branches(ROOT, "scitq")])
def test_help_is_everywhere(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read(ROOT, [*path.split()[1:], "-h"])

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {path}")


@pytest.mark.parametrize("command", [found for _, found in branches(ROOT, "scitq") if isinstance(found, Command)])
def test_no_two_values_of_a_command_share_a_key(command: Command) -> None:
    parser_of(command, command.name)  # refuses equal flags by itself
    keys = [option.key for option in command.options] + [argument.name for argument in command.arguments]

    assert len(keys) == len(set(keys))
    assert "command" not in keys


def test_a_command_loads_no_other() -> None:
    code = (
        "import sys\n"
        "from scitq.shell.main import run\n"
        "run(['launch', '-t', 'true'])\n"
        "print(*sorted(m for m in sys.modules if m.startswith('scitq.') or m in ('tabulate', 'zmq', 'asyncio')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"tabulate", "zmq", "asyncio", "scitq.client", "scitq.wire", "scitq.fetch.transfer"}
    assert not any(name.startswith(("scitq.shell.commands", "scitq.broker", "scitq.node")) for name in loaded)
