"""A document of sections and tables, as Markdown and as JSON. Knows no subject."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts under *columns*."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, what stands under it, and the sections below it."""

    title: str
    content: tuple[str | Table, ...] = ()
    sections: tuple["Section", ...] = ()


def markdown(section: Section) -> str:
    """*section* as a Markdown document, its sections numbered."""
    return "\n\n".join(_blocks(section, ())) + "\n"


def as_json(section: Section) -> dict[str, Any]:
    """*section* as an object; each row of a table is one, by its columns."""
    found: dict[str, Any] = {"title": section.title}
    found["text"] = [block for block in section.content if isinstance(block, str)]
    found["tables"] = [
        [dict(zip(block.columns, row, strict=True)) for row in block.rows]
        for block in section.content
        if isinstance(block, Table)
    ]
    found["sections"] = [as_json(below) for below in section.sections]
    return found


def _blocks(section: Section, numbers: Sequence[int]) -> Iterator[str]:
    number = ".".join(map(str, numbers))
    yield f"{'#' * (len(numbers) + 1)} {number} {section.title}".replace("  ", " ")
    for block in section.content:
        yield _table(block) if isinstance(block, Table) else block
    for count, below in enumerate(section.sections, 1):
        yield from _blocks(below, (*numbers, count))


def _table(table: Table) -> str:
    rule = tuple("---" for _ in table.columns)
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in (table.columns, rule, *table.rows))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
