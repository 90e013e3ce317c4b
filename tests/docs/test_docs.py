"""What is written is true: citations, docstrings, commands in the documents, links, configuration keys."""

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from relais.cli import program
from relais.config import SECTIONS
from relais.config.convert import keys
from relais.config.written import LISTS

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def citations() -> ModuleType:
    spec = importlib.util.spec_from_file_location("citations", Path(__file__).with_name("citations.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_citation_of_the_standard_is_well_formed(citations: ModuleType) -> None:
    assert list(citations.complaints()) == []


def test_citations_can_be_listed_with_their_places(citations: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    citations.main(["PS3.4 C.2.2.2.4"])
    told = capsys.readouterr().out
    assert told.startswith("PS3.4 C.2.2.2.4\n")
    assert "src/relais/dicom/" in told


@pytest.mark.parametrize(
    "text", ["PS 3.4 C.2", "PS3.4-C.2", "PS3.4.C.2", "PS3.4 Annex C", "PS3.4, Section C.2", "PS3.4 2023b", "PS3.99 A"]
)
def test_a_citation_in_another_form_would_be_found(
    citations: ModuleType, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(citations, "lines", lambda: [((Path("x.py"), 1), f"As ({text}) says.")])
    assert len(list(citations.complaints())) == 1


@pytest.mark.parametrize("text", ["PS3.4 C.2.2.2.4", "PS3.18 table 10.6.3-5", "PS3.6", "PS3.6: x", "PS3.5 A.4, A.5"])
def test_a_citation_in_the_agreed_form_is_not(
    citations: ModuleType, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(citations, "lines", lambda: [((Path("x.py"), 1), f"As ({text}) says.")])
    assert list(citations.complaints()) == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert docstring.split("\n", 1)[0].endswith((".", ":", "?")) or "\n" in docstring


def undocumented(path: Path) -> Iterator[str]:
    """Public functions and classes of a module without a docstring."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if (
            isinstance(node, ast.FunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ):
            yield node.name


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_public_function_and_class_is_documented(path: Path) -> None:
    assert list(undocumented(path)) == []


def commands(path: Path) -> Iterator[list[str]]:
    """The words of every command in the shell examples of a document."""
    for block in re.findall(r"```(?:sh|shell|console|bash)\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"\s(?:&&|\||;)\s", line.removeprefix("$ ")):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=\S*|sudo|time", words[0]):
                    words.pop(0)
                if words:
                    yield words


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_make_target_in_the_documents_exists(path: Path) -> None:
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"`make ([a-z-]+)`", text) + [
        word for words in commands(path) if words[0] == "make" for word in words[1:] if re.fullmatch(r"[a-z-]+", word)
    ]
    assert set(named) <= set(targets)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_relais_command_in_the_documents_can_be_typed(path: Path) -> None:
    for words in commands(path):
        if Path(words[0]).name == "relais":
            command = program.get_command(click.Context(program), words[1])
            assert command, words
            command.make_parser(click.Context(command)).parse_args(words[2:])


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_between_documents_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_configuration_key_in_the_documents_exists(path: Path) -> None:
    known = {
        f"RELAIS_{section}__{key}".upper()
        for section, kind in SECTIONS.items()
        if section not in LISTS
        for key in keys(kind)
    }
    named = re.findall(r"\bRELAIS_[A-Z]+__[A-Z_]+\b", path.read_text(encoding="utf-8"))
    unknown = [name for name in named if name not in known and name.removesuffix("_FILE") not in known]
    assert unknown == []


def test_every_decision_stands_in_their_list_under_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text("utf-8").splitlines()
    for page in sorted(folder.glob("0*.md")):
        number, title = page.read_text("utf-8").splitlines()[0].removeprefix("# ").split(". ", 1)
        assert page.name.startswith(f"{number}-")
        assert f"| [{int(number)}]({page.name}) | {title} |" in listed


def test_the_help_of_the_program_says_what_each_command_does_in_a_whole_sentence() -> None:
    told = CliRunner().invoke(program, ["--help"], terminal_width=80).stdout
    lines = told.partition("Commands:\n")[2].splitlines()
    assert len(lines) == len(program.list_commands(click.Context(program)))
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []
