"""What resists a removal by container is said."""

from typing import Any

import pytest

from scitq.node.containers.clearing import clear


class RemovesNothing:
    @property
    def engine(self) -> "RemovesNothing":
        return self

    def images(self) -> list[str]:
        return ["any"]

    def run_and_remove(self, *_: object) -> int:
        return 1


def test_what_rm_could_not_remove_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    presence: Any = RemovesNothing()
    clear(presence, {}, "/there/1.1")
    assert "/there/1.1 stays" in capsys.readouterr().err
