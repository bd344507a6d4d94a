"""Defects planted in a real broker: they are answered and logged, and end nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from scitq.client import Client
from scitq.config import Server
from scitq.errors import ScitqError
from tests.integration.mesh import until

PLANT = """
import sys
from pathlib import Path
from scitq import wire
from scitq.broker import decide, followers, main, schedule

def defect(*given):
    raise KeyError("planted")

if sys.argv[1] == "rule":
    decide._RULES[wire.Batches] = (decide._RULES[wire.Batches][0], defect)
elif sys.argv[1] == "schedule":
    schedule.place = defect
else:
    followers.Followers.after = defect
main.run(Path(sys.argv[2]), (sys.argv[3],))
"""


@pytest.mark.parametrize("where", ["rule", "schedule", "followers"])
def test_a_defect_is_logged_and_ends_nothing(tmp_path: Path, where: str) -> None:
    address, log = f"ipc://{tmp_path}/s", tmp_path / "log"
    command = [sys.executable, "-c", PLANT, where, str(tmp_path / "state"), address]
    with log.open("wb") as stream, subprocess.Popen(command, stderr=stream) as process:
        try:
            until(lambda: "listens at" in log.read_text(), "the broker listens")
            with Client(Server(address=address), notice=lambda line: None) as client:
                assert client.submit(["true"]) == 1
                if where == "rule":
                    with pytest.raises(ScitqError, match="defect of the broker"):
                        client.batches()
                until(lambda: "planted" in log.read_text(), "the defect is logged")
                assert client.submit(["true"]) == 2
                assert [task.id for task in client.tasks()] == [1, 2]
            assert process.poll() is None
        finally:
            process.terminate()
    assert process.returncode == 0
