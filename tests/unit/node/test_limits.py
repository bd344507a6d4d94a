"""What is written where, on recorded trees: a kernel that takes it is in the tests with processes."""

import os
from pathlib import Path

import pytest

from scitq.node import limits
from scitq.node.cgroups import UNIFIED
from scitq.node.limits import Limits, Place, places

GIB = 1 << 30
UNLIMITED_V1 = "9223372036854771712"


def tree(root: Path, cgroup: str, files: dict[str, str]) -> str:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return str(root)


def group(folder: str, **files: str) -> dict[str, str]:
    """A cgroup of v2 with its controllers, as systemd leaves it."""
    start = f"{folder}/" if folder else ""
    told = {"cgroup_procs": "", "cgroup_subtree_control": "cpu memory pids", **files}
    return {start + name.replace("_", ".", 1): text for name, text in told.items()}


V2 = {
    **group("", cgroup_controllers="cpuset cpu io memory pids"),
    **group("system.slice", memory_max="max", cpu_max="max 100000", cgroup_subtree_control="memory pids"),
    **group("system.slice/w.service", memory_max="max", cpu_max="max 100000", cgroup_subtree_control=""),
}


@pytest.fixture
def v2(tmp_path: Path) -> str:
    return tree(tmp_path, "0::/system.slice/w.service\n", V2)


def text(root: str, name: str) -> str:
    return Path(f"{root}/sys/fs/cgroup/{name}").read_text()


def test_in_v2_they_lie_beside_the_agents_own_in_a_folder_that_has_the_controllers(v2: str) -> None:
    found = places(v2)

    place = Place(UNIFIED, f"{v2}/sys/fs/cgroup/system.slice/scitq")
    assert found == {"memory": place, "cpu": place}
    assert text(v2, "system.slice/cgroup.subtree_control") == "+cpu"
    assert text(v2, "system.slice/scitq/cgroup.subtree_control") == "+memory +cpu"


def test_in_v2_one_cgroup_has_both_limits_and_no_swap(v2: str) -> None:
    own = f"{v2}/sys/fs/cgroup/system.slice/scitq/scitq-w-m-7.1"
    Path(own).mkdir(parents=True)
    Path(f"{own}/memory.swap.max").write_text("max\n")  # there where swap is counted

    made = Limits("w", "m", v2).make("7.1", 1.5, 2 * GIB)

    assert made == ((UNIFIED, own),)
    files = {path.name: path.read_text() for path in Path(own).iterdir()}
    assert files == {"memory.max": str(2 * GIB), "memory.swap.max": "0", "cpu.max": "150000 100000"}


def test_in_v2_only_what_was_asked_for_is_limited(v2: str) -> None:
    (cgroup,) = Limits("w", "m", v2).make("7.1", 0.0, GIB)
    assert [path.name for path in Path(cgroup[1]).iterdir()] == ["memory.max"]

    assert Limits("w", "m", v2).make("8.1", 0.0, 0) == ()


def test_in_v2_a_limit_of_the_agents_own_is_not_escaped(tmp_path: Path) -> None:
    root = tree(tmp_path, "0::/system.slice/w.service\n", {**V2, "system.slice/w.service/memory.max": str(GIB)})

    assert places(root) == {}


def test_in_v2_a_delegated_unit_takes_them_beside_its_subgroup(tmp_path: Path) -> None:
    files = {**V2, **group("system.slice/w.service/agent"), "system.slice/w.service/memory.max": str(GIB)}
    root = tree(tmp_path, "0::/system.slice/w.service/agent\n", files)

    assert places(root)["memory"] == Place(UNIFIED, f"{root}/sys/fs/cgroup/system.slice/w.service/scitq")


def test_in_v2_who_may_not_write_makes_none(v2: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: "w.service" in path)

    assert places(v2) == {}


def test_in_v2_a_kernel_that_refuses_leaves_nothing_behind(v2: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, text: str) -> None:
        raise OSError(16, "Device or resource busy", path)

    monkeypatch.setattr(limits, "_write", refuse)

    assert places(v2) == {}
    assert not Path(f"{v2}/sys/fs/cgroup/system.slice/scitq").exists()


V1 = {
    "memory/job/cgroup.procs": "",
    "memory/job/memory.limit_in_bytes": UNLIMITED_V1,
    "memory/cgroup.procs": "",
    "memory/memory.limit_in_bytes": UNLIMITED_V1,
    "cpu,cpuacct/job/cgroup.procs": "",
    "cpu,cpuacct/job/cpu.cfs_quota_us": "-1",
    "cpu,cpuacct/cgroup.procs": "",
}
IN_V1 = "4:cpu,cpuacct:/job\n3:memory:/job\n0::/\n"


def test_in_v1_they_lie_in_the_agents_own_one_for_each_controller(tmp_path: Path) -> None:
    root = tree(tmp_path, IN_V1, V1)
    memory = f"{root}/sys/fs/cgroup/memory/job/scitq-w-m-7.1"
    cpu = f"{root}/sys/fs/cgroup/cpu,cpuacct/job/scitq-w-m-7.1"

    assert Limits("w", "m", root).make("7.1", 0.5, GIB) == (("memory", memory), ("cpu", cpu))

    assert {path.name: path.read_text() for path in Path(memory).iterdir()} == {"memory.limit_in_bytes": str(GIB)}
    assert {path.name: path.read_text() for path in Path(cpu).iterdir()} == {
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "50000",
    }


def test_in_v1_a_folder_made_for_this_user_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path, IN_V1, {**V1, "memory/scitq/cgroup.procs": ""})
    monkeypatch.setattr(os, "access", lambda path, mode: "y/scitq" in path or path.endswith(".procs"))

    assert places(root) == {"memory": Place("memory", f"{root}/sys/fs/cgroup/memory/scitq")}


def test_in_v1_who_could_not_come_back_does_not_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path, IN_V1, {**V1, "memory/scitq/cgroup.procs": ""})
    monkeypatch.setattr(os, "access", lambda path, mode: "scitq" in path)

    assert places(root) == {}


def test_without_cgroups_nothing_is_made_and_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernel = Limits("w", "m", tree(tmp_path, "", {}))

    assert kernel.make("7.1", 1, GIB) == ()
    assert kernel.make("8.1", 1, GIB) == ()
    assert capsys.readouterr().err.count("no cgroup can limit memory") == 1


def test_of_an_earlier_agent_only_what_does_not_run_goes(tmp_path: Path) -> None:
    root = tree(tmp_path, IN_V1, V1)
    here = Path(f"{root}/sys/fs/cgroup/memory/job")
    names = ["scitq-w-m-1.1", "scitq-w-m-2.1", "scitq-w-m-2.1.2", "scitq-w-other-1.1", "scitq-w-m-more-1.1", "job"]
    for name in names:
        (here / name).mkdir()

    left = Limits("w", "m", root).left_by({"2.1"})

    assert sorted(left) == [("memory", f"{here}/scitq-w-m-{name}") for name in ("1.1", "2.1.2")]
    assert limits.remove(left)
    assert {path.name for path in here.iterdir() if path.is_dir()} == {*names} - {"scitq-w-m-1.1", "scitq-w-m-2.1.2"}
