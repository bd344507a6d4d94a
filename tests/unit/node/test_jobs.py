from collections import deque
from types import SimpleNamespace

from scitq.node.jobs import Jobs


def test_what_was_staged_late_starts_in_its_turn() -> None:
    jobs = Jobs.__new__(Jobs)
    jobs._ready = deque()
    for place in (2, 5, 3, 1, 6):
        jobs._enqueue(SimpleNamespace(place=place))  # type: ignore[arg-type]

    assert [job.place for job in jobs._ready] == [1, 2, 3, 5, 6]
