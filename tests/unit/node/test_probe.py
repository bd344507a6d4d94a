import os
from pathlib import Path

import pytest

from scitq.node.probe import probe

HERE = "/jobs/one"


def tree(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


@pytest.mark.parametrize(
    ("cgroup", "files", "cpus"),
    [
        ("", {}, 8),
        (f"0::{HERE}", {"jobs/one/cpu.max": "max 100000"}, 8),
        (f"0::{HERE}", {"jobs/one/cpu.max": "250000 100000"}, 2),
        (f"0::{HERE}", {"jobs/one/cpu.max": "max 100000", "jobs/cpu.max": "300000 100000"}, 3),
        (f"0::{HERE}", {"jobs/one/cpu.max": "50000 100000"}, 1),
        ("0::/seen/by/the/host", {"cpu.max": "400000 100000"}, 4),
        (f"4:cpu,cpuacct:{HERE}\n0::/", {"cpu,cpuacct/jobs/one/cpu.cfs_quota_us": "-1"}, 8),
        (
            f"4:cpu,cpuacct:{HERE}\n0::/",
            {"cpu,cpuacct/jobs/cpu.cfs_quota_us": "600000", "cpu,cpuacct/jobs/cpu.cfs_period_us": "100000"},
            6,
        ),
        (f"1:cpu:{HERE}", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
    ],
)
def test_cpus_are_what_affinity_and_quota_leave(
    tmp_path: Path, cgroup: str, files: dict[str, str], cpus: int
) -> None:
    assert probe(tree(tmp_path, cgroup, files)).cpus == cpus


@pytest.mark.parametrize(
    ("cgroup", "files", "memory"),
    [
        (f"0::{HERE}", {"jobs/one/memory.max": "max", "jobs/memory.max": "1048576"}, 1048576),
        (f"3:memory:{HERE}", {"memory/jobs/one/memory.limit_in_bytes": "2097152"}, 2097152),
        (
            f"3:memory:{HERE}",
            {"memory/memory.limit_in_bytes": "9223372036854771712"},
            os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        ),
    ],
)
def test_memory_is_what_the_limits_leave(tmp_path: Path, cgroup: str, files: dict[str, str], memory: int) -> None:
    assert probe(tree(tmp_path, cgroup, files)).memory == memory
