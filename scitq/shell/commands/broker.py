"""`scitq broker …`: the service in the foreground, and what looks after its state."""

from argparse import Namespace
from pathlib import Path

from scitq.config import local_paths, parse_address
from scitq.errors import ScitqError
from scitq.shell import values
from scitq.shell.connect import STATE
from scitq.shell.render import one_line
from scitq.shell.tree import Argument, Command, Group, Option


def serve(given: Namespace) -> int:
    """Be a broker, in the foreground; whoever owns the state reaches it without a key, too."""
    from scitq.broker.main import DEFAULT_BIND, DEFAULT_GRACE, run

    paths = local_paths(given.state)
    bind = parse_address(given.bind) if given.bind else DEFAULT_BIND
    return run(paths.state, tuple(dict.fromkeys((bind, paths.address))), given.grace or DEFAULT_GRACE)


def check(given: Namespace) -> int:
    """Say whether a state is sound, and what was set aside."""
    from scitq.broker.maintenance import check

    report = check(_state(given))
    for line in report.lines:
        print(one_line(line))
    print("sound" if report.sound else "damaged")
    return 0 if report.sound else ScitqError.exit_code


def repair(given: Namespace) -> int:
    """End a damaged journal before its damage."""
    from scitq.broker.maintenance import mend

    for line in mend(_state(given)) or ["sound: there is nothing to repair"]:
        print(one_line(line))
    return 0


def journal(given: Namespace) -> int:
    """Print the facts, one JSON object a line."""
    from scitq.broker.maintenance import lines

    for line in lines(_state(given)):
        print(line)
    return 0


def backup(given: Namespace) -> int:
    """Copy a state to a file."""
    from scitq.broker.maintenance import backup

    backup(_state(given), Path(given.file))
    print(one_line(f"{given.file}: a copy of {_state(given)}"))
    return 0


def restore(given: Namespace) -> int:
    """Lay a copy into an empty state folder."""
    from scitq.broker.maintenance import restore

    epoch = restore(Path(given.file), _state(given))
    print(one_line(f"{_state(given)}: restored from {given.file}, epoch {epoch} from now on"))
    return 0


def _state(given: Namespace) -> Path:
    return local_paths(given.state).state


_FILE = Argument("file", "the file that holds the copy", values.FILE)

BROKER = Group(
    "broker",
    "serve a mesh, or look after its state",
    (
        Command("check", "say whether a state is sound, and what was set aside", check, (STATE,)),
        Command("repair", "end a damaged journal before its damage; nothing is deleted", repair, (STATE,)),
        Command("journal", "print every fact of a state, one JSON object a line", journal, (STATE,)),
        Command("backup", "copy a state to a new file, also while it is in use", backup, (STATE,), (_FILE,)),
        Command("restore", "lay a copy into an empty state folder", restore, (STATE,), (_FILE,)),
    ),
    alone=Command(
        "broker",
        "serve a mesh",
        serve,
        (
            STATE,
            Option(("--bind",), "where to listen: tcp://HOST:PORT (tcp://127.0.0.1:5555)", values.SERVER),
            Option(("--grace",), "call a silent worker lost after so long (300)", values.SECONDS),
        ),
    ),
)
