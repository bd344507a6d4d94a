"""Results of a real agent on real storages, and back as the inputs and resources of other tasks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq import wire
from tests.integration.broker_script import ScriptedBroker
from tests.integration.fetch.storages import STORAGES, Storage
from tests.integration.worker import Worker, worker

NAMES = ("helloworld", "sub/a b#?%20|é", ".hidden")


@pytest.fixture(params=("file", "s3", "azure", "ftp"))
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    with STORAGES[request.param](tmp_path) as one:
        yield one


@pytest.fixture
def agent(
    broker: ScriptedBroker, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Worker]:
    for name, value in storage.environment.items():
        monkeypatch.setenv(name, value)
    with worker(broker.address, tmp_path / "scratch", name="w1") as one:
        broker.joined()
        yield one
    assert "fault of scitq" not in one.said()


def stored(broker: ScriptedBroker, number: int, script: str, address: str) -> wire.End:
    """The end of a task whose upload is allowed."""
    ref = broker.run(number, "sh", "-c", script, output=address)
    broker.until(lambda: ref in broker.confirm, "it may be stored")
    broker.send(wire.Confirmed(tasks=(ref,)))
    return broker.end_of(ref)


def test_results_go_there_and_come_back(broker: ScriptedBroker, agent: Worker, storage: Storage) -> None:
    script = "cd $OUTPUT; mkdir sub empty; touch helloworld; echo one > 'sub/a b#?%20|é'; echo two > .hidden"

    done = stored(broker, 1, script, storage.address)
    failed = stored(broker, 2, "echo half > $OUTPUT/half; exit 3", f"{storage.address}/failed/")
    nothing = stored(broker, 3, "true", f"{storage.address}/nothing/")
    listing = "cd $INPUT; find . -type f | sort; cat .hidden; cd $RESOURCE; find . -type f | sort; cat half"
    back = broker.end_of(
        broker.run(
            *(4, "sh", "-c", listing),
            inputs=(f"{storage.address}/",),
            resources=(f"{storage.address}/failed/",),
        )
    )

    assert (done.outcome.status, set(done.outcome.stored)) == ("succeeded", set(zip(NAMES, (0, 4, 4), strict=True)))
    assert (failed.outcome.class_, failed.outcome.exit_code) == ("exit", 3)
    assert failed.outcome.stored == (("half", 5),)
    assert (nothing.outcome.status, nothing.outcome.stored) == ("succeeded", ())
    names = sorted((*(f"./{name}" for name in NAMES), "./failed/half"))
    lines = back.stdout.decode().splitlines()
    assert (sorted(lines[:4]), lines[4:]) == (names, ["two", "./half", "half"])


def test_what_is_refused_is_told_when_the_rest_is_stored(
    broker: ScriptedBroker, agent: Worker, storage: Storage
) -> None:
    done = stored(broker, 1, "cd $OUTPUT; ln -s nowhere dead; mkfifo pipe; echo x > x", storage.address)

    assert (done.outcome.status, done.outcome.class_, done.outcome.exit_code) == ("failed", "upload", 0)
    assert "2 not stored, 1 stored; first: dead is a link that leads nowhere" in done.outcome.reason
    assert done.outcome.stored == (("x", 2),)
