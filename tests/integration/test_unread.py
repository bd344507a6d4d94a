"""A real broker and peers that do not read: little lies here for each of them, and nobody else waits for it."""

from pathlib import Path

from scitq import wire
from scitq.broker.decide import ASSIGN_BYTES
from scitq.broker.door import PUSH_LIMIT, UNREAD_LIMIT
from scitq.broker.followers import FOLLOWED_LIMIT, FOLLOWS_LIMIT
from scitq.model import MIB, Outcome, Spec
from tests.integration.mesh import BrokerProcess, Raw, broker, enrolment, until

SLACK = 48 * MIB  # of the broker for everything else
TASKS = 120
LARGE = Spec(command=("true", *["x" * 120_000] * 9), batch="large")


class Deaf(Raw):
    """Reads when it is told to, and takes one message ahead."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.socket.disconnect(address)
        self.socket.rcvhwm = 1
        self.socket.connect(address)

    def answers(self) -> list[wire.Answer]:
        """All that comes, until nothing more does."""
        found: list[wire.Answer] = []
        while self.socket.poll(500):
            found.append(self.receive())
        return found


def resident(process: BrokerProcess) -> int:
    assert process.process is not None
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


def fill(process: BrokerProcess, count: int = TASKS) -> int:
    """Tasks of a MiB each are there; the memory of the broker that holds them."""
    with process.client() as client:
        client.submit_many([LARGE] * count)
    return resident(process)


def test_a_peer_that_asks_and_never_reads_is_refused(tmp_path: Path) -> None:
    with broker(tmp_path) as process, process.client() as other, Deaf(process.address) as deaf:
        before = fill(process, 10)
        deaf.hello()
        for number in range(500):
            deaf.send(wire.encode(wire.Tasks(id=number, limit=2)))
        until(lambda: other.status().refused_messages > 100, "the deaf peer is refused")
        assert other.submit(["true"]) > 0
        assert resident(process) - before < 2 * UNREAD_LIMIT + SLACK
        answers = deaf.answers()
        pages = [answer for answer in answers if isinstance(answer, wire.TaskPage)]
        assert UNREAD_LIMIT // (2 * MIB) <= len(pages) < 100, len(pages)
        refused = {answer.error["message"] for answer in answers if isinstance(answer, wire.Error)}
        assert refused == {"more than 16 MiB of answers lie unread for this connection: read them, then ask again"}
        assert isinstance(deaf.ask(wire.Tasks(id=9, limit=1)), wire.TaskPage)


def test_a_worker_that_never_reads_is_handed_little(tmp_path: Path) -> None:
    with broker(tmp_path) as process, process.client() as other, Deaf(process.address) as deaf:
        before = fill(process)
        with Raw(process.address) as honest:
            honest.hello(enrol=enrolment("honest", batch="small"))
            deaf.send(
                wire.encode(wire.Hello(id=1, protocol=wire.PROTOCOL, enrol=enrolment("deaf", concurrency=TASKS)))
            )
            until(lambda: list(other.tasks(status=("assigned",))), "the deaf worker is handed something")
            for _ in range(5):
                task = other.submit(["true"], batch="small")
                while not isinstance(answer := honest.receive(), wire.Assign):
                    pass
                end = wire.End(answer.tasks[0].ref, Outcome(status="succeeded", exit_code=0), None, 1.0)
                honest.send(wire.encode(wire.Report(ends=(end,))))
                assert other.wait([task])[0].status == "succeeded"
            handed = sum(1 for _ in other.tasks(status=("assigned",), batch="large"))
            assert handed < (PUSH_LIMIT + 2 * ASSIGN_BYTES) // MIB + 8, handed
        assert resident(process) - before < 2 * UNREAD_LIMIT + SLACK
        given_to_deaf = 0
        while given_to_deaf < TASKS:
            answer = deaf.receive()
            given_to_deaf += len(answer.tasks) if isinstance(answer, wire.Assign) else 0


def test_a_follower_that_never_reads_is_told_what_is_when_it_does(tmp_path: Path) -> None:
    """A queue for it would hold each change of each task; there is the last state, once it reads."""
    count = 50_000
    with broker(tmp_path) as process, process.client() as other, Deaf(process.address) as deaf:
        follows = FOLLOWED_LIMIT // count
        first, *_ = other.submit_array({"command": ["true"], "batch": "many"}, count, {})
        deaf.hello()
        for number in range(follows + 1):
            deaf.send(wire.encode(wire.Follow(id=number, batch="many")))
        until(lambda: other.status().refused_messages, "one too many")
        before = resident(process)
        other.cancel(wire.Select(batch="many"))
        other.relaunch(wire.Select(batch="many", status=("cancelled",)))
        other.cancel(wire.Select(batch="many"))
        assert other.submit(["true"]) == first + count
        assert resident(process) - before < 2 * UNREAD_LIMIT + 300 * FOLLOWED_LIMIT
        told: dict[int, set[int]] = {}
        over = refused = 0
        while over < follows:
            answer = deaf.receive()
            if isinstance(answer, wire.Changed):
                ended = {change.task for change in answer.changes if change.status == "cancelled"}
                told.setdefault(answer.id, set()).update(ended)
            over += isinstance(answer, wire.FollowEnd)
            refused += isinstance(answer, wire.Error)
        assert refused == 1
        assert {len(tasks) for tasks in told.values()} == {count}


def test_subscriptions_of_a_connection_are_bounded(tmp_path: Path) -> None:
    with broker(tmp_path) as process, process.client() as other, Raw(process.address) as peer:
        (task,) = other.submit_many([["true"]])
        peer.hello()
        for number in range(FOLLOWS_LIMIT):
            assert isinstance(peer.ask(wire.Follow(id=number, tasks=(task,))), wire.Changed)
        for message in (wire.Follow(id=-1, tasks=(task,)), wire.FollowOutput(id=-1, task=task)):
            answer = peer.ask(message)
            assert isinstance(answer, wire.Error)
            assert answer.error == {
                "code": "conflict",
                "message": "this connection follows 100 things and 100 tasks already,"
                " the limits are 100 and 1000000: `unfollow` some",
            }
        assert isinstance(peer.ask(wire.Follow(id=0, tasks=(task,))), wire.Changed)  # an id that is used again
        assert isinstance(peer.ask(wire.Unfollow(id=-2, follow=0)), wire.Done)
        assert isinstance(peer.ask(wire.Follow(id=-1, tasks=(task,))), wire.Changed)
