"""What every test shares: how hard hypothesis looks, and how transcripts are written anew."""

import pytest
from hypothesis import settings

pytest_plugins = ["tests.engines"]

settings.register_profile("suite", max_examples=50, deadline=None)
settings.register_profile("proof", max_examples=5_000, deadline=None)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-scenarios", action="store_true", help="write what is said now into the transcripts")
