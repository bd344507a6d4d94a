"""`python -m scitq.fetch`: the same as `scitq-fetch`."""

import sys

from scitq.shell.main import fetch

if __name__ == "__main__":
    sys.exit(fetch())
