import subprocess
import sys
import threading

import pytest

from scitq.fetch.retries import busy, patiently
from scitq.fetch.storage import FetchError, NotThere, Stopped, TimedOut, Watch


class Patience(Watch):
    """A watch that notes the pauses instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.check()


class Work:
    def __init__(self, *errors: FetchError) -> None:
        self.errors = list(errors)
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def reset() -> FetchError:
    return FetchError("connection reset", retry=True)


def test_work_that_succeeds_is_done_once() -> None:
    work, watch = Work(), Patience()

    assert patiently(work, watch, 5) == "done"
    assert (work.tries, watch.pauses) == (1, [])


def test_pauses_grow_and_differ() -> None:
    drawn = []
    for _ in range(20):
        work, watch = Work(*(reset() for _ in range(9))), Patience()
        assert patiently(work, watch, 10) == "done"
        assert work.tries == 10
        for pause, longest in zip(watch.pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True):
            assert longest / 2 <= pause <= longest
        drawn.append(tuple(watch.pauses))
    assert len(set(drawn)) > 1


def test_the_last_error_is_told_when_no_try_is_left() -> None:
    work, watch = Work(reset(), reset(), FetchError("stalled", retry=True)), Patience()

    with pytest.raises(FetchError, match="stalled"):
        patiently(work, watch, 3)
    assert len(watch.pauses) == 2


@pytest.mark.parametrize("final", [NotThere("404", retry=False), Stopped("stopped", retry=False)])
def test_a_final_error_is_final(final: FetchError) -> None:
    for errors in ([final], [reset(), final]):
        work = Work(*errors)
        with pytest.raises(type(final)):
            patiently(work, Patience(), 5)
        assert work.tries == len(errors)


def test_time_that_is_over_is_over_for_the_next_try() -> None:
    work = Work(TimedOut("not done within 5 s", retry=True))

    with pytest.raises(TimedOut):
        patiently(work, Patience(), 5)
    assert work.tries == 1


def test_one_try_is_one_try() -> None:
    with pytest.raises(FetchError):
        patiently(work := Work(reset()), Patience(), 1)
    assert work.tries == 1


def test_what_the_storage_asks_for_is_heeded() -> None:
    work, watch = Work(busy("too many requests", 30), busy("too many requests", 0), busy("x", 1e9)), Patience()

    assert patiently(work, watch, 5) == "done"
    assert watch.pauses[0] == 30
    assert watch.pauses[1] <= 2
    assert watch.pauses[2] == 600


def test_a_stop_ends_the_pause() -> None:
    stop = threading.Event()
    stop.set()

    with pytest.raises(Stopped):
        patiently(Work(reset()), Watch(stop), 5)


def test_only_a_failure_pays_for_the_library() -> None:
    script = (
        "import sys; from scitq.fetch.retries import patiently; from scitq.fetch.storage import Watch;"
        "patiently(int, Watch(), 5); sys.exit('tenacity' in sys.modules or 'asyncio' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
