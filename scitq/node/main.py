"""`scitq node`: one worker on this machine."""

from scitq.errors import ScitqError, UsageError
from scitq.node.agent import Agent
from scitq.node.probe import probe
from scitq.node.scratch import Scratch
from scitq.node.settings import Settings


def run(settings: Settings) -> int:
    """Be a worker until a signal or the broker ends it; the exit code.

    Raises:
        ScitqError: it cannot work: the scratch folder is taken, the broker does not want it.
    """
    if settings.concurrency < 1:
        raise UsageError(f"concurrency {settings.concurrency}: a worker runs at least one task at a time")
    if settings.prefetch < 0:
        raise UsageError(f"prefetch {settings.prefetch}: a worker cannot fetch less than nothing ahead")
    scratch = Scratch(settings.scratch)
    try:
        return Agent(settings, scratch, probe()).run()
    except TimeoutError as problem:  # a keeper that lives and does not answer
        raise ScitqError(str(problem)) from None
    finally:
        scratch.close()
