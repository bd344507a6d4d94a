"""What a list shows of requests, and of what workers have."""

from argparse import Namespace

import pytest

from scitq.model import Gpu, Worker
from scitq.shell.columns import print_list, shown
from scitq.shell.commands.worker import _LONG, _SHORT

GIB = 1 << 30
PLAIN = Worker(
    id="1a",
    name="plain",
    status="online",
    paused=False,
    batch="*",
    concurrency=2,
    prefetch=0,
    running=1,
    held=1,
    succeeded=3,
    failed=0,
    hostname="a",
    cpus=4,
    memory=8 * GIB,
    version="1",
    joined_at=0.0,
    seen_at=0.0,
)
HUNDRED = Gpu("NVIDIA H100", 80 * GIB)
RICH = Worker(
    **{name: getattr(PLAIN, name) for name in PLAIN.__struct_fields__}
    | {
        "name": "rich",
        "gpus": (HUNDRED, Gpu("NVIDIA T4", 15 * GIB), HUNDRED),
        "disk": 100 * GIB,
        "tags": "G",
        "engine": "docker 28",
    }
)


def listed(capsys: pytest.CaptureFixture[str], *workers: Worker, long: bool = False) -> list[str]:
    print_list(Namespace(json=False, no_header=False, long=long), workers, _SHORT, _LONG)
    return capsys.readouterr().out.splitlines()


def test_a_list_of_plain_workers_has_no_empty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, PLAIN)[0].split() == [
        *("name", "status", "paused", "batch", "concurrency", "prefetch", "running", "held", "succeeded", "failed"),
    ]
    assert listed(capsys, PLAIN, long=True)[0].split()[-6:] == [
        *("hostname", "cpus", "memory", "version", "joined_at", "seen_at"),
    ]


def test_a_list_shows_what_one_of_the_workers_has(capsys: pytest.CaptureFixture[str]) -> None:
    header, plain, rich = listed(capsys, PLAIN, RICH, long=True)

    assert header.split()[3:5] == ["tags", "batch"]
    assert "  G     *" in rich
    assert "2 x NVIDIA H100 (80.0 GiB), 1 x NVIDIA T4 (15.0 GiB)" in rich
    assert "  100.0 GiB  docker 28" in rich
    assert "NVIDIA" not in plain


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("cpu", 2.0, "2"),
        ("cpu", 0.5, "0.5"),
        ("cpu", None, None),
        ("gpu", 1.0, "1"),
        ("mem", 3 << 29, "1.5 GiB"),
        ("mem", None, None),
        ("disk", 0, None),
        ("cores", 1.0, "1.00"),
        ("cores", None, None),
        ("peak_disk", 0, "0 B"),
        ("read_bytes", 2048, "2.0 KiB"),
    ],
)
def test_requests_and_what_was_used_are_shown_for_people(name: str, value: float | None, text: str | None) -> None:
    assert shown(name, value) == text
