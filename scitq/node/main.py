"""`scitq node`: one worker on this machine."""

from scitq.errors import ScitqError
from scitq.node.agent import Agent
from scitq.node.probe import probe
from scitq.node.scratch import Scratch
from scitq.node.settings import Settings


def run(settings: Settings) -> int:
    """Be a worker until a signal or the broker ends it; the exit code.

    Raises:
        ScitqError: it cannot work: the scratch folder is taken, the broker does not want it.
    """
    scratch = Scratch(settings.scratch)
    try:
        return Agent(settings, scratch, probe()).run()
    except TimeoutError as problem:  # a keeper that lives and does not answer
        raise ScitqError(str(problem)) from None
    finally:
        scratch.close()
