"""The FASTQ example as committed, once in peace and once under `kill -9`: the same bytes, and nothing done twice."""

import gzip
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.e2e.home import Home, Witness, home
from tests.sources import ROOT

EXAMPLE = ROOT / "examples/fastq"
PROGRAMS = ("count.py", "summarise.py")  # what the tasks run
RUNS = 12
ATTEMPTS = RUNS + 2  # one of the twelve is relaunched, and there is the summary
ENOUGH = 600.0

WITNESS = """\
import os
if "SCITQ_ATTEMPT" in os.environ:
    with open({path!r}, "a") as witness:
        witness.write(os.environ["SCITQ_ATTEMPT"] + "\\n")
"""


@pytest.fixture(
    scope="module",
    params=[pytest.param("1", id="1MB"), pytest.param("10", id="10MB", marks=[pytest.mark.proof])],
)
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Study"]:
    """What a run in peace has made of it; the data serves the other run too."""
    folder = tmp_path_factory.mktemp("study")
    with home(folder / "home") as calm:
        study = Study(calm, folder, request.param)
        with study.running():
            pass
        yield study


class Study:
    """One run of the example in one home, its programs made to leave a witness."""

    def __init__(self, place: Home, folder: Path, megabytes: str) -> None:
        self.home = place
        self.folder = folder
        self.megabytes = megabytes
        self.data = folder / "data"
        self.example = folder / "example"
        self.witness = Witness(folder / "witness")
        shutil.copytree(EXAMPLE, self.example)
        for name in PROGRAMS:
            program = self.example / name
            program.write_text(WITNESS.format(path=str(self.witness.path)) + program.read_text())

    def running(self) -> "Running":
        return Running(self)

    def result(self) -> dict[str, bytes]:
        return {
            path.name: path.read_bytes() for part in ("counts", "summary") for path in (self.data / part).iterdir()
        }

    def check(self) -> None:
        """Every attempt believed is one that ran, once, and there are no others."""
        told = json.loads(self.home.scitq("manage", "attempt", "list", "--json"))
        believed = {f"{attempt['task']}.{attempt['attempt']}": attempt["status"] for attempt in told}
        assert sorted(self.witness.names) == sorted(believed)
        assert len(believed) == ATTEMPTS
        assert sorted(believed.values()) == ["failed", *["succeeded"] * (ATTEMPTS - 1)]


class Running:
    """`run.sh` as a process, which must end well."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __enter__(self) -> Self:
        words = [str(self._study.example / "run.sh"), str(self._study.data), self._study.megabytes]
        with (self._study.folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                words, env=self._study.home.environment, stdout=said, stderr=subprocess.STDOUT
            )
        return self

    def __exit__(self, *problem: object) -> None:
        if problem[0] is not None:
            self._process.kill()
        code = self._process.wait(ENOUGH)
        said = (self._study.folder / "said").read_text()
        print(said)
        assert problem[0] is not None or code == 0, said

    @property
    def over(self) -> bool:
        return self._process.poll() is not None


@pytest.mark.timeout(ENOUGH)
def test_in_peace(study: Study) -> None:
    study.check()
    header, *rows = study.result()["summary.tsv"].decode().splitlines()
    assert header.split("\t")[:2] == ["run", "reads"]
    counted = {row.split("\t")[0]: int(row.split("\t")[1]) for row in rows}
    runs = sorted((study.data / "runs").iterdir())
    assert all(run.stat().st_size >= float(study.megabytes) * 1_000_000 for run in runs)
    assert counted == {
        run.name.removesuffix(".fastq.gz"): gzip.decompress(run.read_bytes()).count(b"\n") // 4 for run in runs
    }
    said = (study.folder / "said").read_text()
    assert "waits for task" in said
    assert "are no qualities of Phred+33" in said
    study.home.leaves_nothing()


@pytest.mark.timeout(ENOUGH)
def test_under_fire(study: Study, tmp_path: Path) -> None:
    """Broker, agent or both die whenever one more attempt, or two, have begun."""
    with home(tmp_path / "home") as place:
        fired = Study(place, tmp_path, study.megabytes)
        broker, worker = place.broker, place.worker
        turns = [(1, [broker]), (3, [worker]), (5, [broker]), (7, [worker]), (9, [broker, worker]), (11, [worker])]
        turns += [(RUNS + 1, [broker, worker]), (ATTEMPTS, [broker])]
        with fired.running() as running:
            for begun, parts in turns:
                fired.witness.wait(begun)
                assert not running.over
                place.kill_and_restart(*parts)
        assert fired.result() == study.result()
        fired.check()
        place.leaves_nothing()
