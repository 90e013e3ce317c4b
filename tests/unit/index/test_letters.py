"""Bits of letters beside patients' names: no name that matches lacks one, and programs of before leave them all set."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fixtures.engines import only_sqlite
from fixtures.indexed import a_dataset, an_index, facts
from relais.db.database import Database, Transaction
from relais.dicom import person_name
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.matching import match_one
from relais.dicom.query import Match, Query
from relais.dicom.query_keys import match_from_text
from relais.index import catching_up, composite, letters, nearby, search

NAME, PHYSICIAN = 0x00100010, 0x00080090
PIECES = st.sampled_from(
    ("a", "B", "é", "œ", "ß", "山", "が", "か", "^", "=", "*", "?", " ", "-", "[", ",", "\\", "12")
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with an_index(tmp_path) as db:
        yield db


def _element(text: str) -> JsonDataset:
    found = person_name.to_json(text)
    return {"vr": "PN", "Value": [found]} if found else {"vr": "PN"}


def _matched(raw: str) -> Match | None:
    return match_from_text(NAME, raw)


@given(name=TEXTS, raw=TEXTS, fuzzy=st.booleans())
@example("Lefèbvre-Œuvrard^Anne", "*vre-oe*^an?e*", False)
@example("Yamada^Tarou=山田^太郎", "*田^太*", False)
@example("Durand^Anne Marie", "marie dur", True)
@example("a1^b", "A1", True)
def test_no_name_that_matches_lacks_a_bit(name: str, raw: str, fuzzy: bool) -> None:
    match = _matched(raw)
    if match is None or not match_one(_element(name), match, fuzzy):
        return
    bits = letters.of_match(match, fuzzy)
    assert letters.of_study({"00100010": _element(name)}) & bits == bits


def test_most_names_that_do_not_match_lack_a_bit() -> None:
    match = _matched("*martin*")
    assert match is not None
    bits = letters.of_match(match, False)
    names = [f"{surname}^{given}" for surname in ("DURAND", "MOREL", "PETIT", "ARNAUD") for given in ("Léa", "Hugo")]
    held = [letters.of_study({"00100010": _element(name)}) & bits == bits for name in (*names, "SAINT-MARTIN^Léa")]
    assert held == [False] * len(names) + [True]


@pytest.mark.parametrize("raw", ["*", "m*", "a?b", '""', "*m*\\*martin*"])
def test_what_names_no_letters_together_asks_for_no_bit(raw: str) -> None:
    match = _matched(raw)
    assert match is None or letters.of_match(match, False) == 0


def test_a_physician_has_no_bits() -> None:
    match = match_from_text(PHYSICIAN, "*martin*")
    assert match is not None
    assert letters.of_match(match, False) == 0


def _register(db: Database, study: int, name: str, series: int = 1) -> None:
    db.write(lambda tx: composite.register(tx, facts(a_dataset(study, series, t00100010=_element(name)))))


def _bits(db: Database) -> list[int]:
    with db.read() as connection:
        rows = connection.execute("SELECT patient_letters FROM study ORDER BY id").fetchall()
        return [row[0] for row in rows]


def _found(db: Database, raw: str) -> list[str]:
    match = _matched(raw)
    assert match is not None
    with patch.multiple(nearby, PROBED=100, BY_LETTERS=1000):
        rows = search.search(db, Query(Level.STUDY, (match,), limit=1)).rows
    return [row["00100010"]["Value"][0]["Alphabetic"] for row in rows]


def test_a_study_that_a_program_of_before_wrote_is_found_and_gets_its_bits_step_by_step(db: Database) -> None:
    for study in range(5):
        _register(db, study, f"N{study}{study}^X")
    written = _bits(db)
    assert all(bits > 0 for bits in written)
    db.write(lambda tx: tx.execute("UPDATE study SET patient_letters = -1"))  # as one that knows no letters leaves it
    assert _found(db, "*33*") == ["N33^X"]
    with patch.object(catching_up, "STEP", 2):
        for _ in range(3):
            assert letters.work(db)
    assert not letters.work(db)
    assert _bits(db) == written
    assert _found(db, "*33*") == ["N33^X"]


def test_a_name_that_a_program_of_before_brings_to_a_study_without_one_is_found(db: Database) -> None:
    _register(db, 1, "")
    assert _bits(db) == [letters.ALL]
    assert not letters.work(db)  # there is no name to read

    def work(tx: Transaction) -> None:
        with patch.object(letters, "of_study", lambda ds: letters.ALL):  # it leaves the column as it is
            composite.register(tx, facts(a_dataset(1, 2, t00100010=_element("N33^X"))))

    db.write(work)
    assert _found(db, "*33*") == ["N33^X"]
    assert letters.work(db)
    assert _bits(db)[0] > 0
    assert _found(db, "*33*") == ["N33^X"]


@only_sqlite("it reads EXPLAIN QUERY PLAN")
def test_studies_without_bits_are_found_by_their_index(db: Database) -> None:
    with db.read() as connection:
        found = connection.execute(f"EXPLAIN QUERY PLAN {letters.SQL['unread']}", (1,)).fetchall()
    assert "study_without_letters" in found[0]["detail"], [row["detail"] for row in found]
    assert not any("TEMP B-TREE" in row["detail"] for row in found)
