"""The legal moves of a task, in one visible table.

A report may skip phases that were shorter than the time between two reports; what it skips is implied, so the
table lists where a task can be found next, not each phase it went through.
"""

from scitq.errors import ScitqError

MOVES: dict[str, frozenset[str]] = {
    "waiting": frozenset({"pending", "cancelled"}),
    "pending": frozenset({
        "assigned", "cancelled", "waiting",
        "staging", "running", "uploading",  # an earlier attempt is current again, where it is by now
    }),
    "assigned": frozenset({
        "staging", "running", "uploading", "succeeded", "failed", "cancelled", "returning", "pending",
    }),
    "staging": frozenset({
        "running", "uploading", "succeeded", "failed", "cancelled", "returning", "pending",
    }),
    "running": frozenset({"uploading", "succeeded", "failed", "cancelled", "pending"}),
    "uploading": frozenset({"succeeded", "failed", "cancelled", "pending"}),
    "returning": frozenset({
        "pending", "cancelled",  # returned
        "assigned", "staging", "running", "uploading", "succeeded", "failed",  # already started, or ended
    }),
    "succeeded": frozenset({"pending", "waiting"}),  # relaunch
    "failed": frozenset({"pending", "waiting"}),
    "cancelled": frozenset({"pending", "waiting"}),
}  # fmt: skip


class IllegalMove(ScitqError):
    """A move that the table does not hold: a fault in the rules, told with the task's story; nothing changed."""

    code = "illegal_move"


def check_move(task: int, old: str, new: str, story: object) -> None:
    """Raise IllegalMove unless `old` -> `new` stands in the table; only then is `str(story)` told."""
    if new not in MOVES[old]:
        raise IllegalMove(f"task {task} cannot go from {old} to {new}: {story}")
