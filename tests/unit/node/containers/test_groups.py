"""What the kernel counted in a control group, as it tells it by version 1 and by version 2 (recorded files)."""

from pathlib import Path

import pytest

from scitq.node.containers import groups
from scitq.node.containers.groups import Counted, counted, left_over, remove

V1_MOUNTS = """tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""
V2_MOUNTS = """proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate,memory_recursiveprot 0 0
"""
CPU_STAT = "usage_usec 278621\nuser_usec 198110\nsystem_usec 80511\nnr_periods 0\nnr_throttled 0\n"
OLD_STAT = "cache 0\nrss 8192\nshmem 0\ntotal_cache 139264\ntotal_rss 8192\ntotal_shmem 0\n"
OLD = {"memory/memory.max_usage_in_bytes": "106377216\n", "memory/memory.stat": OLD_STAT}
OLD_CPU = {"cpu,cpuacct/cpuacct.usage": "278621825\n"}
NEW = {"memory.peak": "106377216\n", "memory.stat": "anon 8192\nfile 139264\nkernel 57344\n", "cpu.stat": CPU_STAT}


def machine(tmp_path: Path, mounted: str, files: dict[str, str]) -> str:
    """A root with these mounts; each file in the group /g of its hierarchy."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mounts").write_text(mounted)
    for top in groups.mounts(str(tmp_path)).values():
        Path(top).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        hierarchy, _, file = name.rpartition("/")
        path = tmp_path / "sys/fs/cgroup" / hierarchy / "g" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("mounted", "files", "found"),
    [
        (V1_MOUNTS, OLD | OLD_CPU, Counted(0.278621825, 106377216, 139264)),
        (V2_MOUNTS, NEW, Counted(0.278621, 106377216, 139264)),
        (V2_MOUNTS, {"cpu.stat": CPU_STAT}, Counted(0.278621, 0, 0)),  # Linux before 5.19 keeps no peak
        (V1_MOUNTS, {}, None),
        (V2_MOUNTS, {}, None),
        ("", {}, None),
    ],
)
def test_what_was_counted(tmp_path: Path, mounted: str, files: dict[str, str], found: Counted | None) -> None:
    assert counted("/g", machine(tmp_path, mounted, files)) == found


def test_a_group_goes_from_all_hierarchies_with_what_was_left_in_it(tmp_path: Path) -> None:
    root = machine(tmp_path, V1_MOUNTS, {})
    tops = set(groups.mounts(root).values())
    assert len(tops) == 4
    for top in tops:
        (Path(top) / "scitq-w-m-1.1/dead/deeper").mkdir(parents=True)
        (Path(top) / "scitq-w-m-2.1").mkdir()
        (Path(top) / "scitq-another-m-1.1").mkdir()
    assert left_over("/scitq-w-m-", root) == {"/scitq-w-m-1.1", "/scitq-w-m-2.1"}

    assert remove("/scitq-w-m-1.1", root)
    assert remove("/scitq-w-m-1.1", root)

    assert left_over("/scitq-w-m-", root) == {"/scitq-w-m-2.1"}
    (Path(min(tops)) / "scitq-w-m-2.1/somebody").touch()
    assert not remove("/scitq-w-m-2.1", root)
