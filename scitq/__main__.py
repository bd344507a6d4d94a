"""`python -m scitq` is `scitq`."""

import sys

from scitq.shell.main import main

if __name__ == "__main__":
    sys.exit(main())
