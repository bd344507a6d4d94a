"""The page that a run writes: what was asked, what was measured, and how each row came about."""

from benchmarks.figures import Figure, Row

MESH = """# How fast, beside the peers

Written by `{command}`, never by hand. All in one run on one machine, subjects in turn
(A B A B), medians of {runs} runs; the journal synced before any answer, output captured.
Ratios hold while the machine's speed drifts, absolute figures do not."""


def page(rows: list[Row], machine: list[str], runs: int, command: str, head: str = MESH) -> str:
    """The whole page as Markdown; `head` may name the `command` and the number of `runs`."""
    return "\n".join([
        head.format(command=command, runs=runs),
        "",
        *machine,
        "",
        "| measure | must | reach | measured | verdict |",
        "|---|---|---|---|---|",
        *(_line(row) for row in rows),
        "",
        "## How each was measured",
        "",
        *(f"- {row.title}: {row.note}" for row in rows if row.note),
        "",
    ])  # fmt: skip


def _line(row: Row) -> str:
    must = " / ".join(_bound(figure, figure.must) for figure in row.figures)
    reach = " / ".join(_bound(figure, figure.reach) for figure in row.figures)
    measured = " / ".join(number(figure.value, figure.unit) for figure in row.figures)
    verdict = f"**{row.verdict}**" if row.verdict == "missed" else row.verdict
    return f"| {row.title} | {must} | {reach} | {measured} | {verdict} |"


def _bound(figure: Figure, bound: float | None) -> str:
    return "" if bound is None else number(bound, figure.unit)


def number(value: float, unit: str) -> str:
    """Three digits that matter, and the unit."""
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits} {unit}" if not unit.startswith("/") else f"{digits}{unit}"
