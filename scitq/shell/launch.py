"""`scitq launch`: queue one command, or show what would be queued."""

import signal
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from scitq.config import local_paths
from scitq.errors import UsageError
from scitq.model import Spec
from scitq.shell import values
from scitq.shell.connect import JSON, SERVER, same_server, say, server_of
from scitq.shell.specification import WHAT_A_TASK_IS, fields, refusals, sent
from scitq.shell.tree import Command, Option, Words

if TYPE_CHECKING:
    from scitq.client import Client


def launch(given: Namespace) -> int:
    """Queue it, and say its id; with --wait, be as if it ran here."""
    spec = spec_of(given)
    reasons = list(refusals(spec))
    if given.output == "":  # an unset variable, more often than not: the results would be thrown away
        reasons.append("-o : empty path")
    if given.test:
        return _show(spec, reasons, as_json=given.json)
    if reasons:
        raise UsageError(reasons[0])
    return _submit(spec, given)


def spec_of(given: Namespace) -> Spec:
    """The specification that these values make."""
    more = {"batch": given.batch, "name": given.name, "requires": tuple(n for ids in given.requires for n in ids)}
    return Spec(**fields(given), **{name: value for name, value in more.items() if value})


def _show(spec: Spec, reasons: list[str], *, as_json: bool) -> int:
    from scitq.shell.render import one_line, print_json

    if as_json:
        print_json([{name: getattr(spec, name) for name in Spec.__struct_fields__}])
    else:
        for name, value in sent(spec):
            print(f"{name:18} {value}")
    for reason in reasons:
        print(f"scitq: would be refused: {one_line(reason)}", file=sys.stderr)
    return UsageError.exit_code if reasons else 0


def _submit(spec: Spec, given: Namespace) -> int:
    from scitq.shell.render import print_json

    server = server_of(given)
    if server.local:
        from scitq.shell.mesh import ensure

        ensure(local_paths(given.state), say, same_server(given))
    from scitq.client import Client

    with Client(server, notice=say) as client:
        task = client.submit_many([spec])[0]
        if not given.json:
            # With --wait our stdout is the command's own.
            print(f"Task queued with task id: {task}", file=sys.stderr if given.wait else sys.stdout, flush=True)
        code = _attend(client, task, given) if given.wait else 0
        if given.json:
            print_json(client.tasks(task))
    return code


def _attend(client: "Client", task: int, given: Namespace) -> int:
    from scitq.shell.outcome import exit_code, told
    from scitq.shell.waiting import attend

    try:
        end = attend(client, task, silent=given.json)
        if end.status != "succeeded":
            say(told(end))
        return exit_code(client, end)
    except KeyboardInterrupt:
        more = same_server(given)
        say(
            f"detached: task {task} goes on. Follow it: scitq manage task output -f{more} {task}"
            f" - end it: scitq manage task cancel{more} {task}"
        )
        return 128 + signal.SIGINT


LAUNCH = Command(
    "launch",
    "queue a command",
    launch,
    options=(
        Option(("-b", "--batch"), "its batch: the workers of that batch run it (Default)", values.BATCH),
        Option(("-n", "--name"), "a name for it", values.TEXT),
        *WHAT_A_TASK_IS,
        Option(
            ("-R", "--requires"),
            "start it when these tasks have succeeded: 3,5,7-9; may be given several times",
            values.IDS,
            many=True,
        ),
        Option(("-t", "--test"), "show all that would be sent, and queue nothing"),
        Option(("--wait",), "wait for its end, print its output, and exit with its code"),
        JSON,
        *SERVER,
    ),
    words=Words("the program and its words; options end at the first of them, or at --"),
    details=(
        "The command goes to the worker word by word, without a shell in between: where you want pipes and\n"
        'variables, name one:  scitq launch -i "$PWD/numbers" sh -c \'sort "$INPUT/numbers" | uniq -c\''
    ),
)
