"""What the documents say of conformance is true: the printed statement, the README's table and the list of traps."""

from pathlib import Path

from relais.config import load
from relais.conformance import document, statement

ROOT = Path(__file__).parents[2]


def test_the_conformance_statement_in_the_documents_is_that_of_the_default_configuration() -> None:
    """`make conformance` prints it anew."""
    written = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert written == document.markdown(statement(load(ROOT / "conf" / "relais.toml", {}).config))
