import os

import pytest

from scitq.model import Spec
from scitq.node import environment
from scitq.node.environment import Environment, ImpossibleOwner, Owner, owner_of
from scitq.node.gpus import Device
from scitq.node.means import Share

SHARE = Share(1, 1)


def test_the_task_has_the_last_word_but_on_nothing_else() -> None:
    found = Environment("/bin").of(Spec(env={"PATH": "/mine", "B": b"\xff"}), None, "/s/tasks/1.1", Share(4, 5_000))

    assert found[b"PATH"] == b"/mine"
    assert found[b"B"] == b"\xff"
    assert (found[b"CPU"], found[b"MEM"]) == (b"4", b"5000")
    assert found[b"TEMP"] == b"/s/tasks/1.1/tmp"


def test_gpus_are_named_to_whom_they_are_given_and_to_nobody_else() -> None:
    two = Share(1, 1, gpus=tuple(Device(number, f"GPU-{number}", "T4", 1, "nvidia") for number in (0, 2)))
    environment = Environment("/bin")

    assert environment.of(Spec(), None, "/s/1.1", two)[b"CUDA_VISIBLE_DEVICES"] == b"0,2"
    assert b"CUDA_VISIBLE_DEVICES" not in environment.of(Spec(), None, "/s/2.1", SHARE)


def test_one_task_does_not_see_the_variables_of_another() -> None:
    shared = Environment("/bin")
    shared.of(Spec(env={"A": "1"}), None, "/s/1.1", SHARE)

    assert b"A" not in shared.of(Spec(), None, "/s/2.1", SHARE)


def test_another_user_has_their_own_home() -> None:
    found = Environment("/bin").of(Spec(), Owner(7, 8, "ada", "/home/ada"), "/s/1.1", SHARE)

    assert (found[b"HOME"], found[b"USER"]) == (b"/home/ada", b"ada")


def test_nobody_in_particular_is_the_agents_own_user() -> None:
    assert owner_of(Spec()) is None


def test_only_root_runs_tasks_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(os, "getgid", lambda: 1000)
    monkeypatch.setattr(environment, "_user", lambda uid: ("u", "/", 1000))

    assert owner_of(Spec(uid=1000)) is None
    with pytest.raises(ImpossibleOwner, match=r"uid 0.*only root"):
        owner_of(Spec(uid=0))
    with pytest.raises(ImpossibleOwner, match="gid 5"):
        owner_of(Spec(gid=5))


def test_a_user_nobody_knows_has_no_group_of_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    owner = owner_of(Spec(uid=4_000_000))

    assert owner == Owner(4_000_000, 4_000_000, "4000000", "/")
