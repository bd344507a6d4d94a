import pytest
from msgspec.structs import replace

from scitq.model import Class
from scitq.node import orders, outcome
from scitq.node.job import Staged, Uploaded
from scitq.node.sampler import Use

SILENT = orders.Kept(total=0, head=0, tail_start=0, ring=0, inline=b"", note="")
GOOD = orders.Ended(
    name="1.1",
    code=0,
    signal=None,
    problem=None,
    oom=False,
    cause=None,
    wall_start=10.0,
    wall_end=15.0,
    seconds=4.0,
    suspended=1.0,
    cpu=3.5,
    max_rss=4096,
    out=orders.Kept(total=30, head=10, tail_start=25, ring=5, inline=None, note="disk full"),
    err=SILENT,
)
STAGED = Staged(2.0, 100, {"file:///a": "v1"})


@pytest.mark.parametrize(
    ("changes", "halted", "class_", "reason"),
    [
        ({}, False, "", ""),
        ({"code": 3}, False, "exit", "exit code 3"),
        ({"code": None, "signal": 9}, False, "signal", "SIGKILL"),
        ({"code": None, "signal": 35}, False, "signal", "35"),
        ({"code": None, "signal": 9, "oom": True}, False, "oom", "memory"),
        ({"code": None, "signal": 9, "oom": True, "cause": "mem"}, False, "oom", "used its 2 GiB (--mem)"),
        ({"code": 1, "oom": True, "cause": "mem"}, False, "oom", "used its 2 GiB (--mem)"),
        ({"oom": True, "cause": "mem"}, False, "", ""),
        ({"code": None, "signal": 9, "cause": "mem"}, True, "cancelled", "order"),
        ({"code": None, "signal": 15, "cause": "timeout"}, False, "timeout", "4 s"),
        ({"code": 1, "cause": "timeout"}, False, "timeout", "4 s"),
        ({"cause": "timeout"}, False, "", ""),
        ({"code": None, "problem": "no such program"}, False, "exit", "no such program"),
        ({"code": None, "signal": 9, "cause": "halted"}, True, "cancelled", "order"),
        ({}, True, "cancelled", "order"),
    ],
)
def test_how_a_command_ended(changes: dict[str, object], halted: bool, class_: Class, reason: str) -> None:
    found = outcome.ended(replace(GOOD, **changes), STAGED, Uploaded(), Use(), halted=halted, mem=2 << 30)

    assert found.class_ == class_
    assert reason in found.reason
    assert found.status == {"": "succeeded", "cancelled": "cancelled"}.get(class_, "failed")


def test_all_that_was_measured_is_told() -> None:
    found = outcome.ended(GOOD, STAGED, Uploaded(6.0, 50, (("x", 50),)), Use(), halted=False)

    assert (found.staging_seconds, found.run_seconds, found.upload_seconds) == (2.0, 4.0, 6.0)
    assert (found.suspended_seconds, found.cpu_seconds, found.peak_memory) == (1.0, 3.5, 4096)
    assert (found.bytes_in, found.bytes_out, found.stored) == (100, 50, (("x", 50),))
    assert found.versions == {"file:///a": "v1"}
    assert (found.stdout.total, found.stdout.head, found.stdout.tail, found.stdout.note) == (30, 10, 25, "disk full")


@pytest.mark.parametrize(
    ("max_rss", "used", "cpu", "memory"),
    [
        (4096, Use(8192, 9.0), 9.0, 8192),
        (4096, Use(1, 1.0), 3.5, 4096),
        (None, Use(1, 1.0), 3.5, 1),
        (None, Use(), 3.5, 0),
    ],
)
def test_the_larger_of_what_the_kernel_counted_and_what_was_seen_counts(
    max_rss: int | None, used: Use, cpu: float, memory: int
) -> None:
    found = outcome.ended(replace(GOOD, max_rss=max_rss), STAGED, Uploaded(), used, halted=False)

    assert (found.cpu_seconds, found.peak_memory) == (cpu, memory)


@pytest.mark.parametrize(("kernel", "seen"), [((10, 2), (5, 7)), ((10, 7), (5, 2)), ((1, 1), (10, 7))])
def test_io_is_counted_once(kernel: tuple[int, int], seen: tuple[int, int]) -> None:
    end = replace(GOOD, read_bytes=kernel[0], written_bytes=kernel[1])
    found = outcome.ended(end, STAGED, Uploaded(), Use(0, 0.0, *seen, disk=99), halted=False)

    assert (found.read_bytes, found.written_bytes, found.peak_disk) == (10, 7, 99)


def test_a_failed_upload_fails_what_ran_well() -> None:
    found = outcome.ended(GOOD, STAGED, Uploaded(problem="no room there"), Use(), halted=False)

    assert (found.status, found.class_, found.exit_code, found.reason) == ("failed", "upload", 0, "no room there")


def test_a_failed_upload_does_not_hide_why_the_command_failed() -> None:
    found = outcome.ended(replace(GOOD, code=3), STAGED, Uploaded(problem="no room there"), Use(), halted=False)

    assert (found.class_, found.exit_code, found.reason) == ("exit", 3, "exit code 3; no room there")


def test_a_lost_command_tells_what_could_not_be_ended() -> None:
    found = outcome.lost(orders.Lost("1.1", 10.0, "pid 77"), STAGED, Use(8192, 1.5, 3, 4, 5))

    assert (found.status, found.class_, found.bytes_in) == ("failed", "lost", 100)
    assert (found.peak_memory, found.cpu_seconds) == (8192, 1.5)
    assert (found.read_bytes, found.written_bytes, found.peak_disk) == (3, 4, 5)
    assert "pid 77" in found.reason
