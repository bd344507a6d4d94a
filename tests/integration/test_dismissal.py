"""A worker that was deleted is told so on the connection it has, though the state knows it no more."""

from pathlib import Path

from scitq import wire
from tests.integration.mesh import Raw, broker, enrolment


def test_a_deleted_worker_is_told_to_leave(tmp_path: Path) -> None:
    with broker(tmp_path) as process, Raw(process.address) as worker, Raw(process.address) as admin:
        assert isinstance(worker.hello(enrol=enrolment("w1")), wire.Welcome)
        assert isinstance(admin.hello(), wire.Welcome)
        assert isinstance(admin.ask(wire.WorkerDelete(id=2, worker="w1")), wire.Done)
        assert isinstance(worker.receive(), wire.Dismissed)
