"""The socket API for Python: `Client`, and what its methods take and give."""

from scitq.client.client import Client
from scitq.wire import Select

__all__ = ["Client", "Select"]
