"""What a worker is told when it is started."""

from pathlib import Path

from msgspec import Struct

from scitq.config import Server
from scitq.model import DEFAULT_BATCH
from scitq.node.environment import STANDARD_PATH


class Settings(Struct, frozen=True, kw_only=True):
    """The settings of one `scitq node`.

    `name` "" is the host's. `concurrency` and `prefetch` are what it proposes: the broker's word is final.
    `grace`: seconds without the broker after which nothing more is started. `path`: the PATH of the tasks.
    """

    server: Server
    scratch: Path
    name: str = ""
    concurrency: int = 1
    prefetch: int = 0
    batch: str = DEFAULT_BATCH
    grace: float = 300.0
    path: str = STANDARD_PATH
