"""A reader who follows a link arrives, and finds every page of the manual from its first one."""

import re
from pathlib import Path

from tests.sources import ROOT

DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("*/README.md")]
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")


def anchors(page: Path) -> set[str]:
    """What a link to a heading of this page may name."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_between_pages_leads_somewhere() -> None:
    dead = [
        f"{page.relative_to(ROOT)}: {link[0]}"
        for page in PAGES
        for link in LINK.finditer(page.read_text(encoding="utf-8"))
        if not (target := page.parent / link[1] if link[1] else page).exists()
        or (link[2] and link[2] not in anchors(target))
    ]

    assert dead == []


def test_every_page_of_the_manual_stands_in_its_list() -> None:
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text(encoding="utf-8")))

    assert listed == {page.name for page in DOCS.glob("*.md")} - {"README.md"}
