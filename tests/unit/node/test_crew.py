import select
import threading

import pytest

from scitq.node.crew import THREADS, Crew

DEADLINE = 10.0


def finish(crew: Crew) -> None:
    """Take up what is done, once something is."""
    assert select.select([crew.fileno()], [], [], DEADLINE)[0]
    crew.finish()


def test_what_follows_happens_in_the_callers_own_thread() -> None:
    crew = Crew()
    seen: list[tuple[object, bool]] = []

    crew.do("staging", lambda: 5, lambda result: seen.append((result, threading.current_thread() is main)))
    main = threading.current_thread()
    assert not crew.idle
    finish(crew)

    assert seen == [(5, True)]
    assert crew.idle


def test_what_work_raises_is_its_result() -> None:
    crew = Crew()
    results: list[object] = []

    crew.do("clearing", lambda: 1 // 0, results.append)
    finish(crew)

    assert isinstance(results[0], ZeroDivisionError)


@pytest.mark.parametrize("other", ["storing", "clearing"])
def test_one_kind_of_work_does_not_wait_for_another(other: str) -> None:
    crew, gate = Crew(), threading.Event()
    results: list[object] = []
    for _ in range(2 * THREADS["staging"]):
        crew.do("staging", lambda: gate.wait(DEADLINE), results.append)

    crew.do(other, lambda: "done", results.append)  # type: ignore[arg-type]
    finish(crew)

    assert results == ["done"]
    gate.set()
    while not crew.idle:
        finish(crew)
    assert len(results) == 1 + 2 * THREADS["staging"]
