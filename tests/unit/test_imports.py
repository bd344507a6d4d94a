"""Who may import whom: `model <- wire <- {broker, node, deploy, client} <- shell`, and fetch on its own."""

import pytest

from tests.sources import ROOT, imports, modules

DOOR = {"scitq.Client": "scitq.client.Client"}
ANYONE_MAY = {"fetch.uri"}
MAY_IMPORT = {
    "errors": set[str](),
    "model": {"errors"},
    "container": {"model"},
    "needs": {"container", "model"},
    "wire": {"errors", "model"},
    "config": {"errors"},
    "client": {"errors", "model", "wire", "config"},
    "broker": {"errors", "model", "wire", "config", "container", "needs"},
    "node": {"errors", "model", "wire", "config", "container", "needs", "fetch"},
    "deploy": {"errors", "model", "wire", "config"},
    "__main__": {"shell"},
    "shell": {
        "errors",
        "model",
        "wire",
        "config",
        "container",
        "needs",
        "client",
        "broker",
        "node",
        "deploy",
        "fetch",
    },
    "fetch": set[str](),
}
# `python -m scitq.fetch` is a door into the house from the street: nobody comes through it from inside, so that
# `scitq.fetch` stays usable alone.
STREET_DOOR = {"fetch.__main__": {"shell"}}

PURE_BROKER = {
    *("events", "intervals", "moves", "tasks", "state", "apply", "facts", "check", "fold"),
    *("commands", "decide", "rules", "schedule", "offers", "packing", "lacks", "recruit", "explain", "waits"),
    *("frames", "log_records"),
}
PURE_MAY_IMPORT = {"container", "errors", "model", "needs", "wire"}
IMPURE = {
    *("asyncio", "concurrent", "multiprocessing", "threading", "subprocess", "signal"),
    *("fcntl", "glob", "io", "mmap", "os", "pathlib", "psutil", "shutil", "sqlite3", "tempfile"),
    *("http", "select", "selectors", "socket", "ssl", "urllib", "zmq"),
    *("logging", "random", "secrets", "time", "uuid"),
}


def violations(sources: dict[str, str]) -> list[str]:
    """One line for each import that breaks the rule; `sources` is dotted name -> source."""
    packages = {name.rpartition(".")[0] for name in sources}
    return [
        f"{name} imports {target}"
        for name, source in sources.items()
        if "." in name  # the package itself is a door: it opens on what it is asked for
        for target in sorted(imports(name, source, is_package=name in packages))
        if not allowed(name.removeprefix("scitq."), target)
    ]


def allowed(inside: str, target: str) -> bool:
    """Whether the module scitq.`inside` may import `target`."""
    part, _, room = inside.partition(".")
    pure = part == "broker" and room.split(".")[0] in PURE_BROKER
    top, _, wanted = DOOR.get(target, target).partition(".")
    if top != "scitq":
        return not ((pure or inside in ANYONE_MAY) and top in IMPURE)
    if wanted == "__version__" or any(f"{wanted}.".startswith(f"{free}.") for free in ANYONE_MAY):
        return True
    wanted_part, _, wanted_room = wanted.partition(".")
    if inside in ANYONE_MAY:
        return False
    if pure:
        return wanted_part in PURE_MAY_IMPORT or (
            wanted_part == "broker" and wanted_room.split(".")[0] in PURE_BROKER
        )
    may = MAY_IMPORT.get(part, set()) | STREET_DOOR.get(inside, set())
    from_street = any(f"{wanted}.".startswith(f"{door}.") for door in STREET_DOOR)
    return not from_street and (wanted_part == part or wanted_part in may)


def test_the_program_keeps_the_import_rule() -> None:
    assert violations(modules(ROOT / "scitq")) == []


def test_every_part_has_a_place_in_the_rule() -> None:
    parts = {name.split(".")[1] for name in modules(ROOT / "scitq") if "." in name}

    assert parts <= MAY_IMPORT.keys()


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("scitq.model", "from scitq.wire import Submit"),
        ("scitq.wire", "import scitq.config"),
        ("scitq.errors", "from scitq import model"),
        ("scitq.client", "def f():\n    from scitq.broker import loop"),
        ("scitq.broker.loop", "from scitq import Client"),
        ("scitq.broker.loop", "from scitq.node.agent import Agent"),
        ("scitq.broker.loop", "from ..node import agent"),
        ("scitq.broker.loop", "from scitq.fetch.sync import plan"),
        ("scitq.node.agent", "from scitq.broker.state import State"),
        ("scitq.deploy.main", "from scitq.fetch import transfer"),
        ("scitq.fetch.sync", "from scitq.errors import ScitqError"),
        ("scitq.fetch.copying", "from scitq.shell.main import fetch"),
        ("scitq.shell.main", "from scitq.fetch.__main__ import sys"),
        ("scitq.fetch.uri", "from scitq.fetch.storage import Storage"),
        ("scitq.fetch.uri", "import socket"),
        ("scitq.broker.decide", "import time"),
        ("scitq.broker.decide", "from os import path"),
        ("scitq.broker.state", "from scitq.broker.journal import Journal"),
        ("scitq.broker.explain", "from . import logs"),
        ("scitq.broker.rules.launch", "import zmq"),
        ("scitq.broker.schedule", "from scitq.config import Settings"),
        ("scitq.novelty", "from scitq.model import Task"),
    ],
)
def test_a_forbidden_import_is_found(name: str, source: str) -> None:
    assert len(violations({name: source})) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("scitq", "from scitq.client import Client"),
        ("scitq.wire", "import msgspec\nfrom scitq.model import Task"),
        ("scitq.broker.decide", "from scitq.broker import events\nfrom scitq.fetch.uri import parse"),
        ("scitq.broker.decide", "from .rules.launch import launch"),
        ("scitq.broker.loop", "import time\nimport zmq\nfrom scitq.broker.decide import decide"),
        ("scitq.node.agent", "from scitq.fetch.sync import plan"),
        ("scitq.fetch.sync", "import os\nfrom scitq.fetch import uri"),
        ("scitq.shell.main", "from scitq import Client, __version__"),
        ("scitq.fetch.__main__", "from scitq.shell.main import fetch"),
    ],
)
def test_an_allowed_import_passes(name: str, source: str) -> None:
    assert violations({name: source}) == []
