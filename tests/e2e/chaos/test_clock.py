"""Wall clocks that jump, an hour back and two hours on, of the broker, a worker or both: nothing depends on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.chaos.books import check_books, told, witnessed
from tests.e2e.chaos.mesh import Mesh, mesh
from tests.integration.mesh import until

GRACE = 1.0
HOUR = 3600
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed: no clock can be stepped")


class Clock:
    """The wall clock of the processes that are started while it is `worn`; the monotonic one goes on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)

    def step(self, seconds: int) -> None:
        """So far from the true time; whole or not at all."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}s\n")
        fresh.rename(self._file)

    def wear(self, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("LD_PRELOAD", str(LIBRARY))
        patch.setenv("FAKETIME_TIMESTAMP_FILE", str(self._file))
        patch.setenv("FAKETIME_NO_CACHE", "1")
        patch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")


@pytest.fixture
def clocks(tmp_path: Path) -> dict[str, Clock]:
    return {name: Clock(tmp_path / f"{name}.clock") for name in ("broker", "worker")}


@pytest.fixture
def town(tmp_path: Path, clocks: dict[str, Clock]) -> Iterator[Mesh]:
    with pytest.MonkeyPatch.context() as patch:
        clocks["broker"].wear(patch)
        with mesh(tmp_path / "mesh", "relays", GRACE) as one:
            clocks["worker"].wear(patch)
            one.worker("w1")
            patch.undo()
            yield one


@pytest.mark.parametrize("stepped", ["broker", "worker", pytest.param("broker and worker", marks=pytest.mark.proof)])
def test_a_clock_that_jumps_ends_and_loses_nothing(town: Mesh, clocks: dict[str, Clock], stepped: str) -> None:
    name, gate = f'echo "$SCITQ_ATTEMPT" >> {town.folder}/witness', town.folder / "gate"
    with town.client() as client:
        town.until_standing(client, w1="online")
        long = client.submit(
            ["sh", "-c", f"{name}; until [ -e {gate} ]; do sleep 0.02; done; echo over"], run_timeout=600
        )
        until(lambda: witnessed(town.folder) == ["1.1"], "the long task has begun")
        for offset in (-HOUR, HOUR):
            for part in stepped.split(" and "):
                clocks[part].step(offset)
            # Longer than the grace: whatever a clock of the mesh brings about has happened by its end.
            (end,) = client.wait([client.submit(["sh", "-c", f"{name}; sleep {1.5 * GRACE}"])], timeout=30)
            assert (end.status, end.attempt) == ("succeeded", 1)
            assert town.task(client, long).status == "running"
        gate.touch()
        (end,) = client.wait([long], timeout=30)
        assert (end.status, end.attempt) == ("succeeded", 1)

        (first,) = client.attempts([long])
        assert 2 * GRACE < first.run_seconds < HOUR / 2
        assert first.started_at is not None
        assert first.ended_at is not None
        # The steps were seen at all.
        submitted = [task.submitted_at for task in client.tasks()]
        assert (submitted[2] - submitted[1] > HOUR) == ("broker" in stepped)
        assert (first.ended_at - first.started_at > HOUR / 2) == ("worker" in stepped)
        assert b"".join(data for _, data in client.output(long)) == b"over\n"
        assert sorted(witnessed(town.folder)) == ["1.1", "2.1", "3.1"]
    check_books(town.broker.state, [1, 2, 3])
    assert not told(town.broker.state, "WorkerLost")
