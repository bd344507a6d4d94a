"""A mesh in a storm of faults: everything acknowledged ends, once in the books, its effect never twice an attempt."""

import os
import secrets
from pathlib import Path

import pytest

from tests.e2e.chaos.books import acknowledged, check_books, check_effects, witnessed
from tests.e2e.chaos.cables import no_namespaces
from tests.e2e.chaos.mesh import DEADLINE, mesh
from tests.e2e.chaos.storm import Storm

GRACE = 3.0
WHY_NOT = no_namespaces()
KINDS = [
    pytest.param("namespaces", 30.0, marks=pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)),
    pytest.param("relays", 30.0, marks=pytest.mark.skipif(not WHY_NOT, reason="namespaces cut better")),
    pytest.param("namespaces", 120.0, marks=[pytest.mark.proof, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]),
    pytest.param("relays", 120.0, marks=pytest.mark.proof),
]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("kind", "seconds"), KINDS)
def test_nothing_is_lost_in_a_storm(tmp_path: Path, kind: str, seconds: float) -> None:
    """SCITQ_CHAOS_SEED strikes the same parts in the same order again."""
    seed = int(os.environ.get("SCITQ_CHAOS_SEED") or secrets.randbelow(1_000_000))
    with mesh(tmp_path / "mesh", kind, GRACE) as one:
        for name in ("w1", "w2", "w3"):
            one.worker(name)
        customers = [one.customer(name) for name in ("c1", "c2")]
        storm = Storm(one, seed)
        try:
            storm.rage(seconds)
            (one.folder / "enough").touch()
            for customer in customers:
                assert customer.process is not None
                assert customer.process.wait(DEADLINE) == 0, customer.said()
            tasks = acknowledged(one.folder)
            with one.client() as client:
                check_effects(client, one.folder, tasks)
            one.stop()
            check_books(one.broker.state, tasks)
        finally:
            print("\n".join(storm.story))
        print(f"{len(tasks)} tasks, {len(witnessed(one.folder))} attempts, {len(storm.story)} strikes and recoveries")
        for peer in one.peers:
            assert "fault of scitq" not in peer.said()
        assert "defect" not in one.broker.said()
