"""`docs/protocol.md` and `scitq/wire.py` say the same: every message, every field, its kind, its default."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from scitq import errors, wire
from tests.sources import ROOT

DOCUMENT = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
MESSAGES = {str(kind.__struct_config__.tag): kind for kind in (*wire.Request.__args__, *wire.Answer.__args__)}


def parts() -> dict[str, Any]:
    """Every struct that a message holds, however deep, by name."""
    found: dict[str, Any] = {}

    def visit(kind: Any) -> None:
        if isinstance(kind, inspect.StructType) and kind.cls.__name__ not in found:
            found[kind.cls.__name__] = kind.cls
            visit_fields(kind)
        inner = [getattr(kind, name) for name in ("item_type", "key_type", "value_type") if hasattr(kind, name)]
        for each in (*inner, *getattr(kind, "types", ()), *getattr(kind, "item_types", ())):
            visit(each)

    def visit_fields(struct: Any) -> None:
        for field in struct.fields:
            visit(field.type)

    for message in MESSAGES.values():
        visit_fields(inspect.type_info(message))
    return found


def told() -> dict[str, list[tuple[str, str, str]]]:
    """The tables of the document: heading in backquotes -> (field, kind, default) of each row."""
    tables = {}
    for section in re.split(r"^### ", DOCUMENT, flags=re.MULTILINE)[1:]:
        if named := re.match(r"`(\w+)`\n", section):
            rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| .+ \|$", section, flags=re.MULTILINE)
            assert named[1] not in tables, f"{named[1]} is described twice"
            tables[named[1]] = rows
    return tables


def kind_of(kind: Any) -> str:
    """The document's word for a type."""
    match kind:
        case inspect.StructType():
            return str(kind.cls.__name__)
        case inspect.RawType():
            return "Spec"
        case inspect.AnyType():
            return "word"
        case inspect.NoneType():
            return "nil"
        case inspect.BytesType():
            return "bin"
        case inspect.LiteralType():
            return " ".join(f'"{value}"' for value in kind.values)
        case inspect.VarTupleType():
            return f"[{kind_of(kind.item_type)}]"
        case inspect.TupleType():
            return f"[{', '.join(kind_of(each) for each in kind.item_types)}]"
        case inspect.DictType():
            return f"{{{kind_of(kind.key_type)}: {kind_of(kind.value_type)}}}"
        case inspect.UnionType():
            return " or ".join(kind_of(each) for each in kind.types)
        case _:
            return type(kind).__name__.removesuffix("Type").lower()


def default_of(field: Any, struct: str) -> str:
    if field.required:
        return "required"
    if struct == "Changes":
        return "unchanged"
    value = field.default
    if value is msgspec.NODEFAULT:
        return f"`{field.default_factory()}`"
    if value is None:
        return "nil"
    if isinstance(value, msgspec.Struct):
        return "all defaults"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'`"{value}"`'
    return {(): "`[]`", b"": '`b""`'}.get(value, str(value))


def fields(name: str, struct: Any) -> Iterator[tuple[str, str, str]]:
    for field in inspect.type_info(struct).fields:  # type: ignore[attr-defined]
        yield field.encode_name.rstrip("_"), kind_of(field.type), default_of(field, name)


def test_the_document_names_every_message_and_part_and_no_other() -> None:
    assert set(told()) == set(MESSAGES) | set(parts())


@pytest.mark.parametrize("name", sorted({**MESSAGES, **parts()}))
def test_the_document_has_the_fields_of(name: str) -> None:
    assert told()[name] == list(fields(name, {**MESSAGES, **parts()}[name]))


def test_parts_that_are_arrays_are_called_so() -> None:
    for name, struct in parts().items():
        section = re.split(rf"^### `{name}`$", DOCUMENT, flags=re.MULTILINE)[1].split("\n|")[0]
        assert ("rray of its fields in this order" in section) == struct.__struct_config__.array_like, name


def test_the_document_has_the_error_codes() -> None:
    section = DOCUMENT.split("### Errors")[1].split("### Paging")[0]
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, errors.ScitqError)}
    assert set(re.findall(r"`(\w+)`", section)) - {"error", "code", "message"} == codes


def test_the_document_has_the_limits_and_the_version() -> None:
    assert f"**version {wire.PROTOCOL}**" in DOCUMENT
    limits = DOCUMENT.split("## Limits")[1]
    for limit in (wire.MESSAGE_LIMIT, wire.PART_LIMIT, wire.PAGE_LIMIT):
        assert f"{limit:,}" in limits
    assert f"{wire.CHUNK_LIMIT // 1024} KiB" in limits
    assert f"{wire.FOLLOW_CREDIT:,}" in DOCUMENT


def test_links_inside_the_document_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", DOCUMENT, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", DOCUMENT)) <= anchors
