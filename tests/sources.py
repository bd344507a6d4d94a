"""The program read as text: which module imports what, without running any of it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]


def modules(package: Path) -> dict[str, str]:
    """Every module of a package folder: dotted name -> source."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path.read_text(encoding="utf-8")
    return found


def imports(name: str, source: str, *, is_package: bool) -> set[str]:
    """Absolute names that a module imports, wherever in it; `from a import b` counts as `a.b`."""
    found = set()
    here = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{origin}.{alias.name}" for alias in node.names}
    return found
