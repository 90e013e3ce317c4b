"""`relais tokens`: what it prints makes a node accept what it prints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result

from relais.access.tokens import Tokens
from relais.config import load

Command = Callable[..., Result]


def test_the_lines_that_it_prints_are_configuration(relais: Command, tmp_path: Path) -> None:
    said = relais("tokens", "ct-1", "--may", "store", "--may", "search").stdout
    secret = next(line.strip() for line in said.splitlines() if line.strip().startswith("relais_"))
    file = tmp_path / "made.toml"
    file.write_text("[[tokens]]" + said.partition("[[tokens]]")[2])
    config = load(file, {}).config
    assert config.tokens[0].may == ("store", "search")
    assert Tokens(config.tokens).name_of(secret) == "ct-1"


def test_without_a_word_it_reads(relais_json: Callable[..., Any]) -> None:
    made = relais_json("tokens", "rosa")
    assert made["may"] == ["search", "retrieve"]
    assert made["token"] not in made["sha256"]


def test_a_name_that_no_header_can_carry_is_refused(relais: Command) -> None:
    assert "name must have" in relais("tokens", "ro:sa", code=2).output
