"""What `task usage` and `batch usage` print."""

import json
from argparse import Namespace
from typing import Any, get_args

import pytest

from scitq.errors import NotFound, UsageError
from scitq.model import Attempt, Batch, Status, Task, Worker
from scitq.shell.usage.report import tell_batches, tell_tasks
from tests.unit.shell.test_columns import PLAIN
from tests.unit.shell.usage.test_tally import GIB, MIB, attempt, task


class Broker:
    """Stands for a client: gives what it holds, whatever the batch."""

    def __init__(self, tasks: list[Task], attempts: list[Attempt]) -> None:
        self._tasks, self._attempts = tasks, attempts

    def tasks(self, ids: Any = None, **_: Any) -> Any:
        return (each for each in self._tasks if ids is None or each.id in ids)

    def attempts(self, ids: Any = None, **_: Any) -> Any:
        return (each for each in self._attempts if ids is None or each.task in ids)

    def batches(self) -> list[Batch]:
        states = dict.fromkeys(get_args(Status), 0)
        return [
            Batch(name="study", stopped="", workers=1, **states | {"failed": 1, "succeeded": len(self._tasks) - 1})
        ]

    def workers(self) -> list[Worker]:
        return [PLAIN]


BROKER = Broker(
    [task(1, name="align", mem=2 * GIB), task(2, name="align", mem=2 * GIB, status="failed"), task(3, name="align")],
    [
        attempt(1, run_seconds=185.0, cpu_seconds=333.0, peak_disk=10 * GIB, read_bytes=5 * MIB),
        attempt(2, 1, status="failed", class_="oom", run_seconds=5.0, cpu_seconds=4.0, peak_memory=2 * GIB),
        attempt(3, 1, status="running", run_seconds=0.0),
    ],
)


def tasks(broker: Broker, *, as_json: bool = False, **found: Any) -> int:
    return tell_tasks(broker, Namespace(json=as_json, no_header=False), found)  # type: ignore[arg-type]


def batches(broker: Broker, *, as_json: bool = False) -> int:
    return tell_batches(broker, ("study",), as_json=as_json)  # type: ignore[arg-type]


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_each_attempt_beside_what_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert tasks(BROKER, batch="study") == 0

    assert squeezed(capsys.readouterr().out) == [
        (
            "task attempt status class worker run_seconds cpu_seconds cores peak_memory mem peak_disk "
            "read_bytes written_bytes"
        ),
        "1 1 succeeded plain 3 min 05 s 5 min 33 s 1.80 1.0 GiB 2.0 GiB 10.0 GiB 5.0 MiB 0 B",
        "2 1 failed oom plain 5 s 4 s 0.80 2.0 GiB 2.0 GiB 1.0 MiB 0 B 0 B",
        "3 1 running plain",
    ]


def test_the_same_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert tasks(BROKER, as_json=True, ids=(2,)) == 0

    (row,) = json.loads(capsys.readouterr().out)
    assert (row["task"], row["class"], row["cores"], row["mem"], row["cpu"]) == (2, "oom", 0.8, 2 * GIB, None)


def test_some_tasks_must_be_meant_and_be_there() -> None:
    with pytest.raises(UsageError, match="which tasks"):
        tasks(BROKER)
    with pytest.raises(NotFound, match="no task 9"):
        tasks(BROKER, ids=(9, 2))


def test_a_batch_in_numbers_and_what_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    assert batches(BROKER) == 0

    assert (
        capsys.readouterr().out
        == """\
batch study: 1 attempt succeeded, 1 failed
used      median      p95         max         max of failed  asked    given
run time  3 min 05 s  3 min 05 s  3 min 05 s  5 s
cpu time  5 min 33 s  5 min 33 s  5 min 33 s  4 s
cores     1.80        1.80        1.80        0.80                    2
memory    1.0 GiB     1.0 GiB     1.0 GiB     2.0 GiB        2.0 GiB  2.0 GiB
disk      10.0 GiB    10.0 GiB    10.0 GiB    1.0 MiB
read      5.0 MiB     5.0 MiB     5.0 MiB     0 B
written   0 B         0 B         0 B         0 B
1 attempt ended for want of memory: more may be needed than is said here
only 2 attempts to judge from
next time: --cpu 2 --mem 2.4G --disk 12G
"""
    )


def test_from_enough_attempts_nothing_is_said_of_their_number(capsys: pytest.CaptureFixture[str]) -> None:
    many = range(1, 4)
    batches(Broker([task(number) for number in many], [attempt(number) for number in many]))

    told = capsys.readouterr().out
    assert "judge" not in told
    assert "failed  " not in told
    assert told.splitlines()[-1] == "next time: --cpu 1 --mem 1.2G"


def test_each_name_has_a_table_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    batches(Broker([task(1, name="align"), task(2)], [attempt(1), attempt(2)]))

    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if line.startswith("batch")] == [
        "batch study, tasks named align: 1 attempt succeeded, 0 failed",
        "batch study, tasks without a name: 1 attempt succeeded, 0 failed",
    ]
    assert told.count("") == 1


def test_a_batch_of_which_nothing_ran(capsys: pytest.CaptureFixture[str]) -> None:
    assert batches(Broker([task(1)], [])) == 0

    assert capsys.readouterr().out == "batch study: no attempt has run to its end yet\n"


def test_a_terminal_is_told_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("scitq.shell.usage.report._SHOW_AFTER", 0)

    batches(BROKER)

    out, err = capsys.readouterr()
    assert "/3 [" in err
    assert out.startswith("batch study: 1 attempt succeeded, 1 failed\n")


def test_a_batch_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert batches(BROKER, as_json=True) == 0

    (found,) = json.loads(capsys.readouterr().out)
    assert found["used"]["peak_memory"] == {"median": GIB, "p95": GIB, "max": GIB}
    assert found["asked"] == {"mem": [2 * GIB, 2 * GIB]}
    assert found["next"] == {"cpu": 2, "mem": int(2.4 * GIB), "disk": 12 * GIB}
    assert found["options"] == "--cpu 2 --mem 2.4G --disk 12G"
