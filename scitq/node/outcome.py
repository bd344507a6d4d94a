"""How an attempt ended, from what its staging, its keeper and its upload said. Pure."""

import signal
from typing import Literal

from scitq.model import Class, Outcome, Stream
from scitq.node import orders
from scitq.node.cgroups import PASSED
from scitq.node.job import Staged, Uploaded
from scitq.node.progress import amount
from scitq.node.sampler import Use


def ended(
    end: orders.Ended,
    staged: Staged,
    uploaded: Uploaded,
    used: Use,
    spoiled: tuple[str, ...] = (),
    *,
    halted: bool,
    mem: int = 0,
) -> Outcome:
    """The outcome of a command that was ordered to start; `spoiled`: resources changed while it used them.

    `mem`: bytes that it had asked for, 0 for none.
    The kernel's own count (its largest process, all that was waited for) or what was seen of the tree: whichever is
    more.
    """
    class_, reason = _class(end, halted=halted, mem=mem)
    if uploaded.problem:
        class_, reason = class_ or "upload", "; ".join(filter(None, (reason, uploaded.problem)))
    for uri in spoiled:
        changed = f"{uri} was changed while it ran: it is fetched again for the next task"
        reason = "; ".join(filter(None, (reason, changed)))
    return Outcome(
        status=_status(class_),
        class_=class_,
        exit_code=end.code,
        signal=end.signal,
        reason=reason,
        staging_seconds=staged.seconds,
        run_seconds=end.seconds,
        upload_seconds=uploaded.seconds,
        suspended_seconds=end.suspended,
        cpu_seconds=max(end.cpu, used.cpu),
        peak_memory=max(end.max_rss or 0, used.memory),
        bytes_in=staged.bytes_in,
        bytes_out=uploaded.bytes_out,
        versions=staged.versions,
        stored=uploaded.stored,
        stdout=_stream(end.out),
        stderr=_stream(end.err),
        read_bytes=max(end.read_bytes, used.read_bytes),
        written_bytes=max(end.written_bytes, used.written_bytes),
        peak_disk=used.disk,
    )


def lost(end: orders.Lost, staged: Staged, used: Use) -> Outcome:
    """The outcome of a command that may have started, under a keeper that is gone."""
    reason = end.reason
    if end.remains:
        reason += f"; still there: {end.remains}"
    return Outcome(
        status="failed",
        class_="lost",
        reason=reason,
        staging_seconds=staged.seconds,
        cpu_seconds=used.cpu,
        peak_memory=used.memory,
        bytes_in=staged.bytes_in,
        versions=staged.versions,
        read_bytes=used.read_bytes,
        written_bytes=used.written_bytes,
        peak_disk=used.disk,
    )


def unstarted(class_: Class, reason: str, staged: Staged) -> Outcome:
    """The outcome of an attempt whose command was never started."""
    return Outcome(
        status=_status(class_),
        class_=class_,
        reason=reason,
        staging_seconds=staged.seconds,
        bytes_in=staged.bytes_in,
        versions=staged.versions,
    )


def _class(end: orders.Ended, *, halted: bool, mem: int) -> tuple[Class, str]:
    if halted:
        return "cancelled", "stopped by order"
    if end.problem is not None:
        return "exit", end.problem
    if end.code == 0:
        return "", ""
    if end.cause == PASSED and mem:
        return "oom", f"used its {amount(mem)} (--mem)"
    if end.cause == "timeout":
        return "timeout", f"ran longer than its limit: ended after {end.seconds:.3g} s"
    if end.oom:
        return "oom", "killed for want of memory: its own limit, or all that the machine has"
    if end.signal is not None:
        return "signal", f"killed by {_signal_name(end.signal)}"
    return "exit", f"exit code {end.code}"


def _status(class_: Class) -> Literal["succeeded", "failed", "cancelled"]:
    if class_ == "cancelled":
        return "cancelled"
    return "failed" if class_ else "succeeded"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _stream(kept: orders.Kept) -> Stream:
    return Stream(kept.total, kept.head, kept.tail_start, kept.note)
