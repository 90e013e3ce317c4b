"""What the documents say of conformance is true: the printed statement, the README's table and the list of traps."""

import ast
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
