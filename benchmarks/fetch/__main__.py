"""Every figure of fetch beside the peers in one run: `python -m benchmarks.fetch [--short|--full] [--out FILE]`.

The full form takes about half an hour. Peers that cannot be installed are skipped with their reason.
"""

import sys

from benchmarks.fetch import blobs, stores, web
from benchmarks.fetch.size import FULL, SHORT
from benchmarks.runner import Forms, run

PARTS = {"s3": stores.rows, "azure": blobs.rows, "web": web.rows}
HEAD = """# How fast data moves, beside the peers

Written by `{command}`, never by hand. All in one run on one machine; whole processes, their start included, in turn
(A B A B), {runs} runs: a ratio is the median of those of each run. What arrived is compared with what was sent, every
time. Stores and servers run on the same machine and take their share of its processors from everybody. Ratios hold
while the machine's speed drifts, absolute figures do not."""

if __name__ == "__main__":
    forms = Forms("python -m benchmarks.fetch", "docs/performance-of-fetch.md", HEAD)
    sys.exit(run(forms, __doc__, PARTS, SHORT, FULL))
