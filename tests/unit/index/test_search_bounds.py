"""Searches that mean harm or ask for very much: values are only values, and what no column could hold is refused."""

from collections.abc import Iterator

import pytest

from fixtures.indexed import a_dataset, an_index, facts
from relais.db.database import Database
from relais.dicom.attributes import Level
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.query_keys import match_from_text
from relais.errors import InvalidRequest
from relais.index import compile as sql
from relais.index import composite, search

UID, PATIENT_ID, NAME, ACCESSION = 0x0020000D, 0x00100020, 0x00100010, 0x00080050
DESCRIPTION, MODALITIES = 0x00081030, 0x00080061
STUDIES = 10


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with an_index(tmp_path_factory.mktemp("index")) as db:
        said = {"t00081030": {"vr": "LO", "Value": ["THORAX"]}}
        db.write(lambda tx: [composite.register(tx, facts(a_dataset(study, **said))) for study in range(STUDIES)])
        yield db


def _match(tag: int, raw: str) -> Match:
    found = match_from_text(tag, raw)
    assert found is not None
    return found


def test_deep_wild_cards_and_hostile_letters_are_only_values(db: Database) -> None:
    for raw in (
        "'; DROP TABLE study; --",
        "%",
        "_",
        "[a-z]",
        "[!x]",
        "*[[]*",
        "\\",
        '"',
        "\0",
        "*" * 500,
        "?" * 60,
        "*a" * 200,
    ):
        for tag in (PATIENT_ID, NAME, DESCRIPTION, ACCESSION):
            match = match_from_text(tag, raw)
            if match is not None:
                assert search.search(db, Query(Level.STUDY, (match,), fuzzy=True)).rows == []
    assert len(search.search(db, Query(Level.STUDY)).rows) == STUDIES


def test_as_many_alternatives_as_a_request_may_hold_are_no_trouble(db: Database) -> None:
    for tag, value in (
        (NAME, "*A{}*"),
        (NAME, "B{}^C"),
        (DESCRIPTION, "*{}x"),
        (ACCESSION, "A{}"),
        (MODALITIES, "M{}*"),
    ):
        match = match_from_text(tag, "\\".join(value.format(number) for number in range(1000)))
        assert match is not None
        for level in (Level.STUDY, Level.IMAGE):
            assert search.search(db, Query(level, (match,), fuzzy=True)).rows == []


def test_a_name_of_very_many_words_is_no_trouble(db: Database) -> None:
    match = match_from_text(NAME, " ".join(f"w{number}" for number in range(300)))
    assert match is not None
    assert search.search(db, Query(Level.STUDY, (match,), fuzzy=True)).rows == []


def test_very_many_conditions_are_no_trouble(db: Database) -> None:
    matches = tuple(_match(PATIENT_ID, f"*{number}*") for number in range(2000))
    assert search.search(db, Query(Level.STUDY, matches)).rows == []


def test_what_no_column_could_hold_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="more than"):
        sql.conditions(Query(Level.STUDY, (Match(NAME, MatchKind.SINGLE_VALUE, ("x" * 20_000,)),)))
    with pytest.raises(InvalidRequest, match="not matched by wild cards"):
        sql.conditions(Query(Level.STUDY, (Match(UID, MatchKind.WILD_CARD, ("1.2*",)),)))
