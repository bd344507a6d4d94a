from pathlib import Path

import pytest

from scitq.node.cgroups import UNIFIED, above, ran_out, seen_above

# As the kernel writes them: memory.events of 6.1, memory.oom_control of 5.10 and of 3.10.
QUIET = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n"
AT_ITS_LIMIT = "low 0\nhigh 0\nmax 41\noom 2\noom_kill 1\noom_group_kill 0\n"
OF_THE_MACHINE = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\noom_group_kill 0\n"
COUNTED = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
FULL = 67_100_672  # two pages below the limit
NOT_COUNTED = "oom_kill_disable 0\nunder_oom 0\n"


@pytest.mark.parametrize(
    ("events", "told"),
    [(QUIET, (False, False)), (AT_ITS_LIMIT, (True, True)), (OF_THE_MACHINE, (True, False))],
)
def test_a_cgroup_of_v2_tells_of_its_kills(tmp_path: Path, events: str, told: tuple[bool, bool]) -> None:
    (tmp_path / "memory.events").write_text(events)

    assert ran_out([(UNIFIED, str(tmp_path))], killed=True) == told


@pytest.mark.parametrize(
    ("control", "most", "killed", "told"),
    [
        (COUNTED.format(0), FULL, True, (False, True)),
        (COUNTED.format(1), FULL, False, (True, True)),
        (COUNTED.format(1), FULL // 2, True, (True, False)),
        (NOT_COUNTED, FULL, True, (True, True)),
        (NOT_COUNTED, FULL, False, (False, True)),
        (NOT_COUNTED, FULL // 2, True, (False, False)),
    ],
)
def test_a_cgroup_of_v1_tells_of_its_kills(
    tmp_path: Path, control: str, most: int, killed: bool, told: tuple[bool, bool]
) -> None:
    (tmp_path / "memory.oom_control").write_text(control)
    (tmp_path / "memory.limit_in_bytes").write_text("67108864\n")
    (tmp_path / "memory.max_usage_in_bytes").write_text(f"{most // 2}\n")
    (tmp_path / "memory.memsw.max_usage_in_bytes").write_text(f"{most}\n")

    assert ran_out([("cpu", "/none"), ("memory", str(tmp_path))], killed=killed) == told


def test_one_that_limits_only_cpus_tells_nothing_of_memory(tmp_path: Path) -> None:
    assert ran_out([("cpu", str(tmp_path))], killed=True) is None
    assert ran_out([(UNIFIED, str(tmp_path))], killed=True) is None
    assert ran_out([], killed=True) is None


def test_the_nearest_comes_first_and_in_a_container_what_is_seen(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:cpu,cpuacct:/a/b\n0::/docker/1f\n")
    (tmp_path / "sys/fs/cgroup/cpu,cpuacct/a").mkdir(parents=True)
    top = f"{tmp_path}/sys/fs/cgroup"

    assert above("cpu", str(tmp_path)) == [f"{top}/cpu,cpuacct{end}" for end in ("/a/b", "/a", "")]
    assert seen_above("cpuacct", str(tmp_path)) == [f"{top}/cpu,cpuacct/a", f"{top}/cpu,cpuacct"]
    assert seen_above(UNIFIED, str(tmp_path)) == [top]
    assert above("memory", str(tmp_path)) == []
