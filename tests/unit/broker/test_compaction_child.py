"""When a fold is worth it: what is sealed is neither little, nor little beside the snapshot that is made anew."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scitq.broker.compaction_child import WORTH_BYTES, WORTH_FILES, Compactor
from scitq.broker.journal import Sealed


@pytest.mark.parametrize(
    ("sealed", "tight", "folds"),
    [
        (Sealed(1, WORTH_BYTES - 1, 1, 0), False, False),
        (Sealed(1, WORTH_BYTES, 1, 0), False, True),
        (Sealed(2, WORTH_BYTES, 1, 4 * WORTH_BYTES), False, True),
        (Sealed(2, WORTH_BYTES, 1, 4 * WORTH_BYTES + 4), False, False),
        (Sealed(9, 9, WORTH_FILES, 4 * WORTH_BYTES), False, True),
        (Sealed(2, 1, 1, 4 * WORTH_BYTES), True, True),
        (Sealed(0, 0, 0, 0), True, False),
    ],
)
def test_a_fold_is_started_when_it_is_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: Sealed, tight: bool, folds: bool
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **rest: started.append(command))
    journal = SimpleNamespace(tight=tight, sealed=lambda: sealed)
    writer = SimpleNamespace(call=lambda job: None)
    Compactor(tmp_path, cast("Any", journal), cast("Any", writer)).tick(1.0)
    assert bool(started) == folds
