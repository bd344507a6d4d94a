"""What pip installs is what the program needs."""

import importlib
import subprocess
import sys
import tomllib
from typing import Any

import pytest

from tests.sources import ROOT, imports, modules

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROVIDED_BY = {
    "azure": "azure-identity",
    "botocore": "boto3",
    "tomli_w": "tomli-w",
    "zmq": "pyzmq",
}  # where the import has another name than the distribution


@pytest.mark.parametrize("target", PROJECT["project"]["scripts"].values())
def test_every_entry_point_is_there(target: str) -> None:
    module, _, function = target.partition(":")

    assert callable(getattr(importlib.import_module(module), function))


def test_the_playbooks_travel_inside_the_package() -> None:
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]

    assert included == {"provisioning/playbooks": "scitq/playbooks"}
    assert any((ROOT / "provisioning/playbooks").iterdir())


def test_what_is_imported_is_declared() -> None:
    project = PROJECT["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["azure"]]
    declared = {requirement.split(">=")[0] for requirement in needed}
    imported = {
        target.split(".")[0]
        for name, source in modules(ROOT / "scitq").items()
        for target in imports(name, source, is_package=False)
    }
    foreign = imported - sys.stdlib_module_names - {"scitq"}

    assert {PROVIDED_BY.get(name, name) for name in foreign} <= declared


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    script = "import scitq, sys; print(*(m for m in sys.modules if m.split('.')[0] == 'scitq'))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["scitq"]


def test_ci_runs_the_commands_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    command = next(line for line in readme.splitlines() if line.startswith("tests/install"))

    assert [step for step in command.split(" && ") if step not in ci] == []
