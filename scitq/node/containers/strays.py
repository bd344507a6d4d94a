"""Containers that nobody owns any more, and the control groups that were above them."""

from collections.abc import Callable

from scitq.node.containers import groups
from scitq.node.containers.engine import Engine
from scitq.node.containers.words import LABEL, Owner


def remove_strays(engine: Engine, owner: Owner, known: Callable[[], set[str]]) -> None:
    """Remove what carries this worker's labels, or those of an earlier one in the same scratch folder, unless known.

    Whoever holds the folder locked is alone in it: another worker's id there is of one that cannot come back. Another
    mesh's containers of this worker wait for it to return to that mesh.
    """
    found = engine.names({f"{LABEL}scratch": owner.scratch})
    ours = known()  # only now: a container is known before it is made
    for name, labels in found:
        if name in ours:
            continue
        mine = labels.get(f"{LABEL}worker") == owner.worker
        if not mine or labels.get(f"{LABEL}mesh") == owner.mesh:
            engine.remove(name)
            theirs = owner._replace(worker=labels.get(f"{LABEL}worker", ""), mesh=labels.get(f"{LABEL}mesh", ""))
            groups.clear(theirs.group(name.removeprefix(theirs.name(""))))
    named = owner.group("")
    for group in groups.left_over(named):  # of a container that was removed, when there was no time for more
        if owner.name(group.removeprefix(named)) not in known():
            groups.clear(group)
