"""A broker that stands still past the grace and is woken: it finds nobody silent, and hears of all that ended."""

import os
import signal
from pathlib import Path

from tests.e2e.chaos.books import check_books, told, witnessed
from tests.e2e.chaos.mesh import mesh
from tests.integration.mesh import until

GRACE = 3.0


def test_a_broker_that_stands_still_past_the_grace_loses_nobody(tmp_path: Path) -> None:
    with mesh(tmp_path / "mesh", "relays", GRACE) as town:
        workers = [town.worker(name) for name in ("w1", "w2")]
        gate = town.folder / "gate"
        name = f'echo "$SCITQ_ATTEMPT" >> {town.folder}/witness'
        with town.client() as client:
            town.until_standing(client, w1="online", w2="online")
            script = f"{name}; until [ -e {gate}.$TURN ]; do sleep 0.02; done; echo over >> {town.folder}/over"
            ids = client.submit_many(
                [{"command": ["sh", "-c", script], "env": {"TURN": turn}} for turn in ("now", "later")]
            )
            until(lambda: len(witnessed(town.folder)) == 2, "both tasks have begun")

            assert town.broker.process is not None
            for worker in workers:
                worker.cable.cut()  # so that no beat waits where the woken broker would find it
            os.kill(town.broker.process.pid, signal.SIGSTOP)
            for worker in workers:
                until(lambda one=worker: "nothing more is started" in one.said(), "the grace is over there")  # type: ignore[misc]
            Path(f"{gate}.now").touch()
            until((town.folder / "over").exists, "one of them ends meanwhile")
            os.kill(town.broker.process.pid, signal.SIGCONT)
            client.status()  # it is awake, and has looked at its clock
            for worker in workers:
                worker.cable.mend()

            town.until_standing(client, w1="online", w2="online")
            Path(f"{gate}.later").touch()
            ends = client.wait(ids, timeout=30)
            assert [(end.status, end.attempt) for end in ends] == [("succeeded", 1)] * 2
        assert sorted(witnessed(town.folder)) == ["1.1", "2.1"]
        check_books(town.broker.state, ids)
        assert not told(town.broker.state, "WorkerLost")
