"""The page that a run writes: what was asked, what was measured, and how each row came about."""

from benchmarks.figures import Figure, Row


def line(row: Row) -> str:
    """A row as it is told when it is measured; how it came about on a line of its own."""
    figures = " / ".join(number(figure.value, figure.unit) for figure in row.figures)
    note = f"\n{'':8} {row.note}" if row.note else ""
    return f"{row.verdict:8} {row.title}: {figures}{note}"


def page(head: str, machine: list[str], rows: list[Row]) -> str:
    """The whole page as Markdown."""
    return "\n".join([
        head,
        "",
        *machine,
        "",
        "| measure | must | reach | measured | verdict |",
        "|---|---|---|---|---|",
        *(_cells(row) for row in rows),
        "",
        "## How each was measured",
        "",
        *(f"- {row.title}: {row.note}" for row in rows if row.note),
        "",
    ])  # fmt: skip


def _cells(row: Row) -> str:
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
