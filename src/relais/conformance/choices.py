"""Where the code says that it deviates from the standard or how it reads it, with the place. Knows docstrings.

Such a sentence begins with `Deviation:` or `Reading:` and ends with its paragraph.
"""

import ast
import re
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable

from relais.conformance.document import Section, Table

WORDS = ("Deviation", "Reading")
_MARK = re.compile(
    rf"\b({'|'.join(WORDS)}): (.*?)(?=\s*(?:\b(?:{'|'.join(WORDS)}|Seen): |\n\s*\n|\n\s*\d+\. |\Z))", re.DOTALL
)


def section() -> Section:
    """All of them, by word and place."""
    rows = sorted(_all(resources.files("relais"), ""))
    return Section(
        "Deviations and readings",
        tuple(
            block
            for word, title in zip(
                WORDS, ("Where we differ from the standard:", "How we read it where it is open:"), strict=True
            )
            for block in (
                title,
                Table(("Where", "What"), tuple((place, text) for kind, place, text in rows if kind == word)),
            )
        ),
    )


def _all(folder: Traversable, path: str) -> Iterator[tuple[str, str, str]]:
    for entry in folder.iterdir():
        name = f"{path}{entry.name}"
        if entry.is_dir():
            yield from _all(entry, f"{name}/")
        elif name.endswith(".py"):
            yield from _of_module(name, entry.read_text(encoding="utf-8"))


def _of_module(name: str, source: str) -> Iterator[tuple[str, str, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            for kind, text in _MARK.findall(ast.get_docstring(node) or ""):
                yield kind, name, " ".join(text.split())
