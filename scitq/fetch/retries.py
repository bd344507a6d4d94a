"""Trying again what another time may do: pauses grow, and differ, so that many clients do not come back at once."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from scitq.fetch.storage import FetchError, Stopped, TimedOut, Watch

if TYPE_CHECKING:
    from tenacity import RetryCallState

R = TypeVar("R")

_LONGEST_S = 60.0


class Busy(FetchError):
    """The storage asks to be left alone for some seconds."""

    after_s = 0.0


def busy(reason: str, after_s: float) -> Busy:
    """A refusal of the moment, with how long the storage wants to be left alone: at most ten minutes are heeded."""
    error = Busy(reason, retry=True)
    error.after_s = min(max(after_s, 0.0), 600.0)
    return error


def patiently(work: Callable[[], R], watch: Watch, tries: int) -> R:
    """Do the work, up to `tries` times while it raises a FetchError that says `retry`; raises the last one.

    Pauses of 1, 2, 4 … 60 s, each drawn from its upper half, or what the storage asks for when that is longer; they
    end as `Watch.pause` does. A TimedOut is final: the time is over for the next try too.
    """
    try:
        return work()
    except FetchError as error:
        if tries <= 1 or not _may_help(error):
            raise
        failed: list[FetchError] = [error]
    # Only now: most work succeeds, and a short command would pay for the import.
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

    def next_try() -> R:
        if failed:
            raise failed.pop()  # the first try, told to whoever counts them
        return work()

    growing = wait_exponential(multiplier=0.5, max=_LONGEST_S / 2)

    def pause_s(state: "RetryCallState") -> float:
        half = growing(state)
        error = state.outcome.exception() if state.outcome else None
        asked = error.after_s if isinstance(error, Busy) else 0.0
        return max(half + wait_random(0, half)(state), asked)

    again = Retrying(
        sleep=watch.pause,
        retry=retry_if_exception(_may_help),
        stop=stop_after_attempt(tries),
        wait=pause_s,
        reraise=True,
    )
    return again(next_try)


def _may_help(error: BaseException) -> bool:
    return isinstance(error, FetchError) and error.retry and not isinstance(error, Stopped | TimedOut)
