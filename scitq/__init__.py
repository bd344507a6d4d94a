"""scitq: a task queue that cannot lose a task.

`from scitq import Client` is the door for Python; nothing is imported until it is opened, so that a command
pays only for what it uses.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scitq.client import Client

__all__ = ["Client", "__version__"]

__version__ = "2.0.0.dev0"


def __getattr__(name: str) -> Any:
    """Open the door on first use."""
    if name == "Client":
        from scitq.client import Client

        return Client
    raise AttributeError(f"module 'scitq' has no attribute {name!r}")
