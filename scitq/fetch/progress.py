"""How far a job is, on a terminal: bytes, rate, files and time left, on a line that goes when it is done."""

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from scitq.fetch.jobs import Job

if TYPE_CHECKING:
    from tqdm import tqdm

_FIRST_S = 0.5  # what is done by then needs no bar
_EVERY_S = 0.2


class Progress:
    """A context manager; where stderr is no terminal it shows nothing."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._ended = threading.Event()
        self._bar: tqdm[NoReturn] | None = None
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(self, _: object, __: object, ___: TracebackType | None) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._bar is not None:
            self._bar.close()

    def say(self, line: str) -> None:
        """Write a line to stderr, above the bar."""
        with self._guard:
            if self._bar is not None:
                self._bar.clear()
            print(line, file=sys.stderr, flush=True)

    def _run(self) -> None:
        if self._ended.wait(_FIRST_S):
            return
        from tqdm import tqdm

        tqdm.monitor_interval = 0
        bar: tqdm[NoReturn] = tqdm(
            file=sys.stderr,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            leave=False,
            dynamic_ncols=True,
            mininterval=0,
        )
        self._bar = bar
        while not self._ended.wait(_EVERY_S):
            with self._guard:
                self._show(bar)

    def _show(self, bar: "tqdm[NoReturn]") -> None:
        job = self._job
        done = job.copied + job.deleted + job.same + job.failed
        more = "" if job.is_planned else "+"  # the listing is not at its end yet
        bar.total = job.planned_bytes or None
        bar.set_postfix_str(f"{done} of {job.planned}{more} files", refresh=False)
        bar.update(min(job.watch.bytes, job.planned_bytes) - bar.n)
        bar.refresh()
