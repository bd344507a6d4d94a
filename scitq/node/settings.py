"""What a worker is told when it is started."""

from pathlib import Path

from msgspec import Struct

from scitq.config import Server
from scitq.node.environment import STANDARD_PATH


class Settings(Struct, frozen=True, kw_only=True):
    """The settings of one `scitq node`.

    `name` "" is the host's. `concurrency` 0, `prefetch` -1 and `batch` "" leave them as the broker knows this worker,
    or 1, 0 and Default when it is new; what is given counts until an operator changes it.
    `grace`: seconds without the broker after which nothing more is started. `path`: the PATH of the tasks.
    `data`: the folder that tasks see as /data; "": /data itself, if there is one.
    """

    server: Server
    scratch: Path
    name: str = ""
    concurrency: int = 0
    prefetch: int = -1
    batch: str = ""
    grace: float = 300.0
    path: str = STANDARD_PATH
    data: str = ""
