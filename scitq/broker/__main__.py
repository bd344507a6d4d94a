"""`python -m scitq.broker --state DIR --bind ADDR`: a broker without the command line around it."""

import argparse
import sys
from pathlib import Path

from scitq.broker.main import DEFAULT_BIND, DEFAULT_GRACE, run
from scitq.errors import ScitqError

parser = argparse.ArgumentParser(prog="python -m scitq.broker")
parser.add_argument("--state", type=Path, required=True)
parser.add_argument("--bind", action="append")
parser.add_argument("--grace", type=float, default=DEFAULT_GRACE)
parser.add_argument("--ready-fd", type=int, default=-1)
given = parser.parse_args()
try:
    sys.exit(run(given.state, tuple(given.bind or (DEFAULT_BIND,)), given.grace, given.ready_fd))
except ScitqError as problem:
    print(f"scitq broker: {problem}", file=sys.stderr)
    sys.exit(problem.exit_code)
except OSError as problem:
    sys.exit(f"scitq broker: {problem}")
