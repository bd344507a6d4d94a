"""What is answered to a take back holds."""

from pathlib import Path
from typing import Any

from scitq.node import orders
from scitq.node.containers.minder import Minder
from scitq.node.containers.record import Record, Records
from scitq.node.containers.reins import Shop
from scitq.node.containers.words import Owner


class RemovesOnly:
    def remove(self, name: str) -> None:
        assert name == "scitq-m-1.1"


def minder(folder: Path) -> Minder:
    nothing: Any = None
    records = Records(f"{folder}/containers")
    shop = Shop(Owner("m", "w", "s"), nothing, nothing, records, str(folder), nothing, "boot", nothing, nothing)
    order = orders.ContainerOrder(name="1.1", image="i", options="", command=[], env={}, folder=str(folder))
    return Minder(shop, Record("1.1", b"", None, None, 0, "boot"), order)


def test_what_has_not_begun_is_given_back(tmp_path: Path) -> None:
    one = minder(tmp_path)
    assert one.take_back()
    assert not one._may_start("engine")


def test_what_was_said_to_have_started_is_never_returned(tmp_path: Path) -> None:
    engine: Any = RemovesOnly()
    one = minder(tmp_path)
    assert one._may_start("engine")
    assert isinstance(one._never_started(engine), orders.Returned)
    assert not one.take_back()
    assert isinstance(one._never_started(engine), orders.Lost)
