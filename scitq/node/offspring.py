"""The processes below a process, as /proc shows them, and signals to all of them."""

import contextlib
import os
import signal


def children(pid: int) -> list[int]:
    """The direct children of every thread of `pid`; none when it is gone."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found.extend(map(int, file.read().split()))
        except OSError:
            continue
    return found


def descendants(pid: int) -> list[int]:
    """Everything below `pid`, parents before their children."""
    found = children(pid)
    for child in found:
        found.extend(children(child))  # the list grows while it is walked
    return found


def signal_all(pid: int, number: int) -> list[int]:
    """Send a signal to everything below `pid`; return those that may not be signalled (another user's)."""
    refused: list[int] = []
    for child in descendants(pid):
        try:
            os.kill(child, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            refused.append(child)
    return refused


def stop_all(pid: int) -> None:
    """SIGSTOP everything below `pid`, repeated until a look finds nobody new: who is stopped does not fork."""
    seen: set[int] = set()
    while fresh := set(descendants(pid)) - seen:
        seen |= fresh
        for child in fresh:
            try:
                os.kill(child, signal.SIGSTOP)
            except OSError:
                continue


def kill_all(pid: int) -> list[int]:
    """SIGKILL everything below `pid`; return those that may not be signalled.

    Stopped first, so that nobody forks away between the look and the kill.
    """
    stop_all(pid)
    return signal_all(pid, signal.SIGKILL)


def reap_strays() -> None:
    """Collect whoever ends while nothing runs: processes of an earlier command that could not be killed."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
