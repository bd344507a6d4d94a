"""Every figure beside the peers in one run: `python -m benchmarks [--short|--full] [--out FILE] [--only PART]…`.

The full form is what the figures are promised for and takes about an hour; the short one shows in some minutes
that all of it works, and where things stand. Peers that cannot be installed are skipped with their reason.
"""

import sys

from benchmarks import alone, containers, crowd, held, sleepers, throughput, worker
from benchmarks.figures import FULL, SHORT
from benchmarks.runner import Forms, run

PARTS = {
    "throughput": throughput.rows,
    "worker": worker.rows,
    "sleepers": sleepers.rows,
    "alone": alone.rows,
    "held": held.rows,
    "crowd": crowd.rows,
    "containers": containers.rows,
}
HEAD = """# How fast, beside the peers

Written by `{command}`, never by hand. All in one run on one machine, subjects in turn
(A B A B), medians of {runs} runs; the journal synced before any answer, output captured.
Ratios hold while the machine's speed drifts, absolute figures do not."""

if __name__ == "__main__":
    sys.exit(run(Forms("python -m benchmarks", "docs/performance.md", HEAD), __doc__, PARTS, SHORT, FULL))
