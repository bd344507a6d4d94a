"""Which tasks a round speaks of, for those who follow tasks."""

from scitq.broker import events
from scitq.broker.events import Entry
from scitq.broker.intervals import members


def touched_by(entries: list[Entry]) -> set[int]:
    """The tasks that may have changed; those just submitted, often very many, are not among them."""
    touched: set[int] = set()
    for entry in entries:
        for event in entry.events:
            match event:
                case events.Cancelled() | events.Relaunched() | events.Deleted() | events.Edited():
                    touched.update(members(event.tasks))
                case events.LogKept(marks):
                    touched.update(mark[0] for mark in marks)
                case events.Ended(task) | events.Reinstated(task):
                    touched.add(task)
                case (
                    events.Assigned() | events.Asked() | events.Returned() | events.Requeued() | events.Kept()
                    | events.Entered()
                ):  # fmt: skip
                    touched.update(event.tasks)
                case _:
                    pass
    return touched
