# What CI runs, by name. Each recipe is one command that works without `just` too.

# Install what the tests need into .venv
install:
    tests/install

# Lint, format, types
check:
    .ci/check

# The whole suite; arguments go to pytest
test *ARGS:
    .venv/bin/pytest {{ARGS}}

# The long form: every proof, with a hundred times the examples, then every figure at full size
proof *ARGS:
    .venv/bin/pytest -m "proof or not proof" --hypothesis-profile=proof --timeout=0 {{ARGS}}
    .venv/bin/python -m benchmarks --full --out docs/performance.md

# How fast, beside the peers, in one run: --full, --out docs/performance.md, --only PART
bench *ARGS:
    .venv/bin/python -m benchmarks {{ARGS}}
