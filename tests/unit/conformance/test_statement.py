"""The conformance statement says what the tables and the configuration say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from relais.access.policy import Mode
from relais.cli import program
from relais.config import AccessSettings, Config
from relais.conformance import document, statement
from relais.conformance.document import Section, Table
from relais.dicom import contexts
from relais.dicom.attributes import TABLE
from relais.dimse import status
from relais.dimse.settings import DimseSettings
from relais.peers.settings import PeerSettings
from relais.web.app import routed


@pytest.fixture(scope="module")
def text() -> str:
    return document.markdown(statement(Config()))


def test_every_storage_sop_class_and_transfer_syntax_is_listed(text: str) -> None:
    for uid in (*contexts.STORAGE_SOP_CLASSES, *contexts.TRANSFER_SYNTAXES, *contexts.UNSUPPORTED):
        assert f"| {uid} |" in text
    assert "|  | 1.2" not in text


def test_every_attribute_says_how_it_is_matched(text: str) -> None:
    for row in TABLE:
        assert f"| {row.keyword} | ({row.tag >> 16:04X},{row.tag & 0xFFFF:04X}) | {row.vr} |" in text
    assert "| StudyDate | (0008,0020) | DA | STUDY | required | single value, multiple values, range," in text
    assert "| Rows | (0028,0010) | US | INSTANCE | conditional | single value, multiple values, universal" in text


def test_a_key_that_the_site_declared_is_a_matching_key() -> None:
    config = replace(Config(), index=replace(Config().index, search_keys=("PatientComments",)))
    wanted = "| PatientComments | (0010,4000) | LT | PATIENT | kept | single value, multiple values, wild card,"
    assert wanted in document.markdown(statement(config))
    assert wanted not in document.markdown(statement(Config()))


def test_every_route_of_the_web_door_is_a_row(text: str) -> None:
    rules = [rule for rule in routed().url_map.iter_rules() if rule.rule.startswith("/dicom-web/")]
    methods = [method for rule in rules for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}]
    rows = [line for line in text.splitlines() if line.startswith(("| GET | /", "| POST | /", "| DELETE | /"))]
    assert len(rows) == len(methods)


def test_every_status_says_when(text: str) -> None:
    for service in status.ANSWERS:
        for code in status.of_service(service):
            (row,) = [line for line in text.splitlines() if line.startswith(f"| {service} | {code:04X} |")]
            assert row.removesuffix(" |").endswith(".")


def test_the_configuration_decides_what_is_said() -> None:
    peer = PeerSettings(name="SOUTH", ae_title="SOUTH_AE", host="10.0.0.2", may=("store",))
    dimse = DimseSettings(ae_title="NORTH", max_associations=7, private_sop_classes=("1.3.12.2.1107.5.9.1",))
    config = Config(dimse=dimse, peers=(peer,), access=AccessSettings(Mode.ENFORCED))
    text = document.markdown(statement(config))
    for said in (
        "| AE title | NORTH |",
        "| (configured, private) | 1.3.12.2.1107.5.9.1 |",
        "| SOUTH | SOUTH_AE | 10.0.0.2:104 | store | no |",
        "Up to 7 associations at once,",
        "the configured peers, and over the web who shows a token",
    ):
        assert said in text


def test_what_the_code_calls_a_deviation_or_a_reading_is_listed_with_its_place(text: str) -> None:
    assert "| dicom/uids.py | a component may have leading zeros; real senders make such UIDs" in text
    assert "| dicomweb/params.py | `+` is a space, as browsers and most HTTP libraries write it;" in text


def test_the_command_prints_markdown_or_json(tmp_path: Path, text: str) -> None:
    empty = tmp_path / "relais.toml"
    empty.write_text("")
    printed = CliRunner().invoke(program, ["conformance", "--config", str(empty)])
    assert (printed.exit_code, printed.output) == (0, text)
    as_json = CliRunner().invoke(program, ["conformance", "--config", str(empty), "--json"])
    found = json.loads(as_json.output)
    assert [f"## {number} {section['title']}" for number, section in enumerate(found["sections"], 1)] == [
        line for line in text.splitlines() if line.startswith("## ")
    ]


def test_a_document_is_numbered_and_its_cells_stay_in_their_columns() -> None:
    table = Table(("a", "b"), (("1|2", "x\ny"),))
    section = Section("Top", ("Text.",), (Section("First", (table,), (Section("Inner"),)), Section("Second")))
    assert document.markdown(section) == (
        "# Top\n\nText.\n\n## 1 First\n\n| a | b |\n| --- | --- |\n| 1\\|2 | x y |\n\n### 1.1 Inner\n\n## 2 Second\n"
    )
    assert document.as_json(section)["sections"][0]["tables"] == [[{"a": "1|2", "b": "x\ny"}]]
