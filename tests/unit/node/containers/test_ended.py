"""When the end of a container is one for want of memory, whether or not docker noticed."""

from pathlib import Path
from typing import Any

import pytest

from scitq.node import orders
from scitq.node.cgroups import PASSED
from scitq.node.containers import groups
from scitq.node.containers.answers import Seen
from scitq.node.containers.groups import Counted
from scitq.node.containers.minder import Minder
from scitq.node.containers.record import Record, Records
from scitq.node.containers.reins import Shop
from scitq.node.containers.words import Owner

MIB = 1 << 20
SEEN = Seen("id", "exited", 0, 137, False, 16 * MIB, 10.0, 14.0, False, False, {})


def ended(folder: Path, seen: Seen, cause: str | None = None) -> orders.Ended:
    nothing: Any = None
    shop = Shop(
        Owner("m", "w", "s"), nothing, nothing, Records(f"{folder}/c"), str(folder), nothing, "", nothing, nothing
    )
    return Minder(shop, Record("1.1", b"", None, None, 0, "", cause=cause), None)._ended(seen)


@pytest.mark.parametrize(
    ("seen", "peak", "cause", "oom"),
    [
        (SEEN._replace(oom=True, mem=0), 4 * MIB, None, True),
        (SEEN, 16 * MIB + 8192, None, True),
        (SEEN, 15 * MIB, None, True),
        (SEEN, 8 * MIB, None, False),
        (SEEN._replace(mem=0), 16 * MIB, None, False),
        (SEEN._replace(exit_code=1), 16 * MIB, None, False),
        (SEEN._replace(oom=True, exit_code=0), 16 * MIB, None, False),
        (SEEN, 16 * MIB, "timeout", False),
    ],
)
def test_an_end_for_want_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: Seen, peak: int, cause: str | None, oom: bool
) -> None:
    monkeypatch.setattr(groups, "counted", lambda _: Counted(1.5, peak, 2 * MIB))
    end = ended(tmp_path, seen, cause)

    assert end.oom == oom
    assert end.cause == (PASSED if oom else cause)
    assert (end.cpu, end.max_rss) == (1.5, peak if oom else peak - 2 * MIB)


def test_without_a_control_group_only_docker_can_tell(tmp_path: Path) -> None:
    assert not ended(tmp_path, SEEN).oom
    assert ended(tmp_path, SEEN._replace(oom=True)).oom
