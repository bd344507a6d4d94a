"""A flag to stop by, whose waits cost no time."""

import pytest

from tests.unit.node.no_pause import NoPause


@pytest.fixture
def stop() -> NoPause:
    return NoPause()
