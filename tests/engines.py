"""The fixtures that lend tests a real container engine, and the line that says how many had one.

An engine is started for the first test that asks, and stands until the session ends.
"""

from collections.abc import Iterator

import pytest

from tests.servers.dockerd import Dockerd, started

_used: set[str] = set()
_skipped: set[str] = set()


@pytest.fixture(scope="session")
def _docker_of_session() -> Iterator[Dockerd]:
    with started(Dockerd) as engine:
        yield engine


def lent(request: pytest.FixtureRequest) -> None:
    """Note that a test has a real engine."""
    _used.add(request.node.nodeid)


@pytest.fixture
def docker(request: pytest.FixtureRequest) -> Iterator[Dockerd]:
    """A docker engine that holds the image `tiny:1`; a test leaves no container in it."""
    if reason := Dockerd.cannot_start():
        _skipped.add(request.node.nodeid)
        pytest.skip(reason)
    lent(request)
    engine: Dockerd = request.getfixturevalue("_docker_of_session")
    yield engine
    if left := engine.containers():
        engine.docker("rm", "-f", *left)


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _used or _skipped:
        terminalreporter.write_line(
            f"container engines: {len(_used)} tests used a real one, {len(_skipped)} were skipped for want of one"
        )
