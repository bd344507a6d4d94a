"""Removing what a container wrote as a user that the agent may not act as: by a container, with the host's own `rm`.

Any image will do, for the programs of this machine are mounted over its own.
"""

import os
from collections.abc import Mapping

from scitq.node.containers.answers import EngineAway, EngineRefused
from scitq.node.containers.presence import Presence
from scitq.node.say import say

_PROGRAMS = ("/bin", "/lib", "/lib64", "/usr")


def clear(presence: Presence, labels: Mapping[str, str], path: str) -> None:
    """Remove a folder and all in it, by a container with these labels; what resists is said."""
    parent, name = os.path.split(path)
    binds = [f"{folder}:{folder}:ro" for folder in _PROGRAMS if os.path.isdir(folder)]
    try:
        engine = presence.engine
        images = engine.images()
        if not images:
            raise EngineRefused("no image is left on this machine that could be started for it")
        remove = ["/bin/rm", "-rf", f"/scitq/{name}"]
        if code := engine.run_and_remove(images[0], remove, [*binds, f"{parent}:/scitq"], labels):
            raise EngineRefused(f"rm ended with exit code {code}")
    except (EngineAway, EngineRefused) as problem:
        say(f"{path} stays, for it holds files of other users: {problem}")
