"""What the documents say of conformance is true: the printed statement, the README's table and the list of traps."""

import ast
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from relais.config import load
from relais.conformance import document, statement

ROOT = Path(__file__).parents[2]


def test_the_conformance_statement_in_the_documents_is_that_of_the_default_configuration() -> None:
    """`make conformance` prints it anew."""
    written = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert written == document.markdown(statement(load(ROOT / "conf" / "relais.toml", {}).config))


TRAPS = 21


def functions_of(path: Path) -> set[str]:
    """The names of the test functions of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def missing(named: Iterable[str]) -> list[str]:
    """Of tests named as `folder/file.py::function` below tests/, those that do not exist."""
    found = []
    for name in named:
        file, _, function = name.partition("::")
        path = ROOT / "tests" / file
        if not path.is_file() or (function and function not in functions_of(path)):
            found.append(name)
    return found


def test_every_trap_has_claims_and_every_claim_a_test() -> None:
    """The list is tests/conformance/data/traps.toml."""
    listed = tomllib.loads((ROOT / "tests" / "conformance" / "data" / "traps.toml").read_text(encoding="utf-8"))
    claims = {claim: test for chapter in listed.values() for claim, test in chapter.items()}
    assert {int(claim.partition(".")[0]) for claim in claims} == set(range(1, TRAPS + 1))
    assert missing(claims.values()) == []


# Chapters 8 to 10 of PS3.18: the clauses that are transactions or shape them all, and words for every resource of table
# 10.3-2.
CLAUSES = {"8.3.4", "8.3.5", "8.7", "8.8", "8.9", "9.4", "9.5", "10.4", "10.5", "10.6"}
RESOURCES = (
    *("Study, Series, Instance:", "Metadata", "Bulkdata", "Pixel Data", "Frames,", "Rendered Frames", "Thumbnails"),
    *("Rendered Study, Series, Instance", "MPR Volume", "3D Volume", "Store Instances"),
    *("all Studies, all Series, all Instances", "a Study's Series, its Instances, a Series' Instances"),
)


def rows_of_the_readme() -> list[list[str]]:
    """The cells of the rows of the README's tables of conformance: what of, what, today, proven by."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    chapter = text.partition("## What it conforms to")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in chapter.splitlines() if line.startswith("| ")]
    return [[*row, ""] if len(row) == 3 else row for row in rows if row[-1] != "proven by"]


def test_the_readme_has_a_row_for_every_transaction() -> None:
    """PS3.18 tables 8.9.1-1, 9.1-1 and 10.3-2"""
    rows = rows_of_the_readme()
    assert {row[0] for row in rows} >= CLAUSES
    said = " ".join(row[1] for row in rows)
    assert [resource for resource in RESOURCES if resource not in said] == []


def test_every_row_of_the_readme_that_promises_something_is_proven_by_a_test() -> None:
    for what, name, today, proof in rows_of_the_readme():
        if today == "no" or today.startswith("no:"):
            continue
        sentence, file = re.fullmatch(r"\[(.+)\]\(tests/(.+)\)", proof.strip(" |")).groups()
        assert missing([f"{file}::test_{sentence.replace(' ', '_')}"]) == [], (what, name)
